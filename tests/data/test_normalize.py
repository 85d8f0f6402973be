"""Normalisation by computed and by given statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlit.data.normalize import normalizer, statistics
from fedlit.errors import InputError


@pytest.mark.parametrize("shape", [(3000, 4), (1500, 3, 5), (1100, 2, 4, 4)])
def test_the_training_inputs_get_mean_0_and_deviation_1_by_channel(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    wide = (1, shape[1], *[1] * (len(shape) - 2))
    x = rng.normal(0, 1, shape) * rng.uniform(0.1, 9, wide) + rng.normal(0, 50, wide)
    prepare = normalizer("training", x.astype(np.float32))
    assert prepare is not None
    out = prepare(torch.from_numpy(x)).numpy()
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(out.mean(axes), 0, atol=1e-3)
    np.testing.assert_allclose(out.std(axes), 1, atol=1e-3)


def test_statistics_of_bytes_are_exact_over_many_chunks() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2500, 3, 2, 2), dtype=np.uint8)
    mean, std = statistics(x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, x.astype(np.float64).std((0, 2, 3)), rtol=1e-12)


def test_a_constant_channel_becomes_0() -> None:
    x = np.full((10, 2), 7.0, dtype=np.float32)
    prepare = normalizer("training", x)
    assert prepare is not None and prepare(torch.from_numpy(x)).abs().max() == 0


def test_given_statistics_are_in_units_of_the_scaled_inputs() -> None:
    x = np.array([[[[0, 255]]], [[[51, 204]]]], dtype=np.uint8)
    half = normalizer([0.5, 0.5], x, 1 / 255)
    assert half is not None
    np.testing.assert_allclose(half(torch.from_numpy(x)).flatten().numpy(), [-1, 1, -0.6, 0.6], atol=1e-6)


def test_statistics_may_be_given_for_each_channel() -> None:
    x = np.ones((2, 2, 1, 1), dtype=np.float32)
    prepare = normalizer([[1.0, 0.0], [1.0, 0.5]], x)
    assert prepare is not None and prepare(torch.from_numpy(x)).flatten().tolist() == [0, 2, 0, 2]


def test_none_keeps_floats_and_scales_bytes() -> None:
    assert normalizer("none", np.ones((2, 3), dtype=np.float32)) is None
    prepare = normalizer("none", np.ones((2, 1, 2, 2), dtype=np.uint8), 1 / 255)
    assert prepare is not None and prepare(torch.tensor([[[[255]]]], dtype=torch.uint8)).item() == pytest.approx(1)


@pytest.mark.parametrize("option", ["standard", [0.5], [0.5, 0], [[1, 2], 1], [0.5, 0.5, 0.5], ["a", 1], 0.5])
def test_other_values_of_normalize_are_refused(option: object) -> None:
    with pytest.raises(InputError, match="write training, none, or \\[mean,std\\]"):
        normalizer(option, np.ones((2, 3, 1, 1), dtype=np.float32))


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        normalizer("training", np.array([[1.0], [np.nan]]))
