"""Inputs of a file that are not finite are refused in both sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlit.data.npz import npz
from fedlit.errors import InputError


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_non_finite_inputs_are_refused(part: str, value: float, tmp_path: Path) -> None:
    arrays = {f"x_{p}": np.random.default_rng(0).normal(size=(6, 3)) for p in ("train", "test")}
    arrays[f"x_{part}"][2, 1] = value
    np.savez(tmp_path / "d.npz", **arrays, y_train=np.arange(6) % 2, y_test=np.arange(6) % 2)
    subject = {"train": "the training inputs hold", "test": "x_test holds"}[part]
    with pytest.raises(InputError, match=f"{subject} NaN or infinite values; fill or drop these"):
        npz(str(tmp_path / "d.npz"))
