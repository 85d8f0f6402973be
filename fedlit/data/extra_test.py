"""Test sets that are measured beside the clean one: its samples, changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.data.transform import Transform


@dataclass(frozen=True)
class ExtraTest:
    """
    Attributes:
        transform: changes the inputs of a batch, its targets, or both, after all other transforms.
        keeps: gives of labels (n,) bools, the samples that are measured; None: all.
        names: metric -> its name in the row, for the metrics that are recorded; None: all, as
            `global/test_<name>/<metric>`.
    """

    transform: Transform
    keeps: Callable[[np.ndarray], np.ndarray] | None = None
    names: Mapping[str, str] | None = None

    @classmethod
    def of(cls, value: Any) -> ExtraTest:
        """An extra test that is given as one, or as its transform."""
        return value if isinstance(value, ExtraTest) else cls(value, getattr(value, "keeps", None))

    def chosen(self, index: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The samples (n,) of `index` that are measured.

        Args:
            labels: (N,) of all samples; None: they have none.
        """
        return index if self.keeps is None or labels is None else index[self.keeps(labels[index])]
