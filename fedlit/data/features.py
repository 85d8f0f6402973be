"""Features normalised in 64 bits, then kept in 32: a column far from 0, such as a time stamp, keeps its differences."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedlit.data.normalize import CHUNK, given_statistics, statistics
from fedlit.errors import InputError

_log = logging.getLogger(__name__)


def normalised_features(
    option: Any, train: np.ndarray, test: np.ndarray, names: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test features as float32, `(x - mean) / std` by channel, computed in float64 or wider.

    Args:
        option: "training", "none" or `[mean, std]`: see `fedlit.data.normalize.normalizer`.
        train: (N, C, ...) floating-point numbers; "training" takes mean and deviation from these alone. A channel that
            is constant becomes 0.
        test: (M, C, ...).
        names: of the two arrays, for messages.

    Raises:
        InputError: the option is none of these; a number is NaN, infinite, or too large for 32 bits.
    """
    if option in (None, "none"):
        _log_lost_differences(train, names[0])
        return _float32(train, 0.0, 0.0, 1.0, names[0]), _float32(test, 0.0, 0.0, 1.0, names[1])
    if option == "training":
        origin = _wide(train, train.min((0, *range(2, train.ndim))))  # by channel; differences from it are exact
        mean, std = statistics(train, origin)
    else:
        origin, std = (_wide(train, part) for part in given_statistics(option, train.shape[1]))
        mean = np.zeros_like(std)
    shape = (-1, *[1] * (train.ndim - 2))
    columns = origin.reshape(shape), mean.reshape(shape), std.reshape(shape)
    return _float32(train, *columns, names[0]), _float32(test, *columns, names[1])


def differences_are_lost(values: np.ndarray) -> bool:
    """Whether a column of float64 numbers (N,) varies by less than float32 can tell apart at its size."""
    if not len(values):
        return False
    largest, deviation = np.abs(values).max(), (values - values.min()).std()
    return bool(0 < deviation < 10 * np.finfo(np.float32).eps * largest)


def _log_lost_differences(x: np.ndarray, name: str) -> None:
    if x.dtype.itemsize <= 4 or not np.isfinite(x).all():
        return
    lost = [channel for channel in range(x.shape[1]) if differences_are_lost(np.asarray(x[:, channel], np.float64))]
    if lost:
        _log.warning(
            "%s: 32 bits cannot tell the values of channel %s apart; write data.normalize=training.",
            *(name, ", ".join(map(str, lost))),
        )


def _float32(x: np.ndarray, origin: Any, mean: Any, std: Any, name: str) -> np.ndarray:
    """`((x - origin) - mean) / std`, chunk by chunk to save memory."""
    result = np.empty(x.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in _chunks(len(x)):
            result[chunk] = (_wide(x, x[chunk] - origin) - mean) / std
    if not np.isfinite(result).all():
        finite = np.isfinite(x).all()
        problem = "values that are too large for 32 bits" if finite else "NaN or infinite values"
        raise InputError(f"{name} holds {problem}; {'scale' if finite else 'fill'} or drop these in the file.")
    return result


def _wide(x: np.ndarray, values: Any) -> np.ndarray:
    """Values with 64 bits, or more where the array `x` has more."""
    return np.asarray(values, dtype=np.promote_types(x.dtype, np.float64))


def _chunks(length: int) -> Iterator[slice]:
    return (slice(begin, begin + CHUNK) for begin in range(0, length, CHUNK))
