"""Features far from 0 keep their differences: normalised in 64 bits, against numpy's wide floats or whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from fedlit.data.npz import npz
from fedlit.errors import InputError

RNG = np.random.default_rng(5)
STEPS = RNG.integers(0, 1000, (30, 3))  # whole numbers, so that each offset below adds without rounding
OTHER = RNG.integers(0, 1000, (10, 3))


def loaded(path: Path, x: np.ndarray, x_test: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of all training and of all test samples."""
    y, y_test = np.arange(len(x)) % 2, np.arange(len(x_test)) % 2
    np.savez(path / "a.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    source = npz(path / "a.npz", **options)  # type: ignore[arg-type]
    parts = source.train, source.test
    return tuple(part.batch(np.arange(len(part)))[0].numpy() for part in parts)  # type: ignore[return-value]


def by_fractions(train: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(value - mean) / deviation of the training column, exactly up to the root."""
    columns = []
    for column, other in zip(train.T, values.T, strict=True):
        exact = [Fraction(int(v)) for v in column]
        mean = sum(exact) / len(exact)
        deviation = sqrt(sum((v - mean) ** 2 for v in exact) / len(exact))
        columns.append([float(Fraction(int(v)) - mean) / deviation for v in other])
    return np.array(columns).T


STAMPS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], dict[str, object]]] = {
    "float64, seconds": (lambda steps: steps + 1.7e9, {}),
    "float64, beyond 2^50": (lambda steps: steps + 2.0**51, {}),
    "float64, negative": (lambda steps: steps - 1.7e12, {}),
    "big-endian": (lambda steps: (steps + 1.7e9).astype(">f8"), {}),
    "Fortran order": (lambda steps: np.asfortranarray(steps + 1.7e9), {}),
    "float32, of 24 bits": (lambda steps: (steps + 2**23).astype(np.float32), {}),
    "float16": (lambda steps: steps.astype(np.float16), {}),
    "int64, seconds": (lambda steps: steps + 1_700_000_000, {"inputs": "features"}),
    "int32": (lambda steps: (steps + 2**30).astype(np.int32), {"inputs": "features"}),
    "uint16": (lambda steps: steps.astype(np.uint16), {"inputs": "features"}),
    "big-endian int64": (lambda steps: (steps + 2**40).astype(">i8"), {"inputs": "features"}),
}
WIDE = {
    "int64, nanoseconds": (lambda steps: steps + 1_700_000_000_000_000_000, {"inputs": "features"}),
    "uint64, beyond int64": (lambda steps: steps.astype(np.uint64) + np.uint64(2**63), {"inputs": "features"}),
}
if np.finfo(np.longdouble).nmant >= 63:  # elsewhere wide floats are no wider than 64 bits
    STAMPS |= WIDE


@pytest.mark.parametrize("kind", STAMPS)
def test_an_offset_does_not_change_normalised_features(kind: str, tmp_path: Path) -> None:
    make, options = STAMPS[kind]
    train, test = loaded(tmp_path, make(STEPS), make(OTHER), **options)
    assert train.dtype == test.dtype == np.float32
    np.testing.assert_allclose(train, by_fractions(STEPS, STEPS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(test, by_fractions(STEPS, OTHER), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 7), (3, 5, 6)])
def test_channels_are_normalised_over_their_other_axes(shape: tuple[int, ...], tmp_path: Path) -> None:
    steps = RNG.integers(0, 1000, (20, *shape))
    train, test = loaded(tmp_path, steps + 1.7e9, steps[:5] + 1.7e9)
    for channel in range(3):
        x = steps[:, channel].astype(np.float64)
        np.testing.assert_allclose(train[:, channel], (x - x.mean()) / x.std(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(test[:, channel], (x[:5] - x.mean()) / x.std(), rtol=1e-5, atol=1e-6)


def test_given_statistics_are_subtracted_in_64_bits(tmp_path: Path) -> None:
    train, _ = loaded(tmp_path, STEPS + 1.7e9, OTHER + 1.7e9, normalize=[[1.7e9, 1.7e9 + 1, 1.7e9 + 2], 4])
    np.testing.assert_allclose(train, (STEPS - np.array([0, 1, 2])) / 4)


def test_values_beyond_32_bits_are_normalised(tmp_path: Path) -> None:
    train, _ = loaded(tmp_path, STEPS * 1e60, OTHER * 1e60)
    np.testing.assert_allclose(train, by_fractions(STEPS, STEPS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("constant", [0.1, 7.0, 1.7e9, -1e300, 0.0])
def test_a_constant_channel_is_exactly_0_and_others_differ_from_it_by_their_distance(
    constant: float, tmp_path: Path
) -> None:
    x = STEPS.astype(np.float64)
    x[:, 1] = constant
    x_test = OTHER.astype(np.float64)
    x_test[:, 1] = constant
    x_test[0, 1] = constant + 2 if abs(constant) < 1e10 else constant
    train, test = loaded(tmp_path, x, x_test)
    assert (train[:, 1] == 0).all() and (test[1:, 1] == 0).all()
    assert test[0, 1] == (2 if abs(constant) < 1e10 else 0)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("normalize", ["training", "none", [0, 1]])
def test_values_that_are_not_finite_are_refused(part: str, value: float, normalize: object, tmp_path: Path) -> None:
    x = {"train": STEPS.astype(np.float64), "test": OTHER.astype(np.float64)}
    x[part][3, 1] = value
    with pytest.raises(InputError, match="NaN or infinite values"):
        loaded(tmp_path, x["train"], x["test"], normalize=normalize)


@pytest.mark.parametrize(
    ("scales", "normalize", "message"),
    [
        ((1e60, 1e60), "none", "x_train holds values that are too large for 32 bits"),
        ((1.0, 1e60), "none", "x_test holds values that are too large for 32 bits"),
        ((1.0, 1e300), "training", "x_test holds values that are too large for 32 bits"),
        ((1e200, 1e200), "training", "too large to be squared"),
    ],
)
def test_values_that_overflow_are_refused(
    scales: tuple[float, float], normalize: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        loaded(tmp_path, STEPS * scales[0], OTHER * scales[1], normalize=normalize)


@pytest.mark.parametrize(("offset", "is_lost"), [(1.7e9, True), (1e6, False), (0.0, False)])
def test_differences_that_32_bits_lose_without_normalisation_are_logged(
    offset: float, is_lost: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded(tmp_path, STEPS / 20 + offset, OTHER / 20 + offset, normalize="none")
    assert ("cannot tell the values of channel 0, 1, 2 apart" in caplog.text) == is_lost


def test_no_normalisation_keeps_the_bits_of_32_bit_floats(tmp_path: Path) -> None:
    x = RNG.normal(0, 1e10, (8, 3)).astype(np.float32)
    train, test = loaded(tmp_path, x, x[:4], normalize="none")
    assert np.array_equal(train, x) and np.array_equal(test, x[:4])
