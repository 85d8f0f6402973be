"""Normalisation of batches, so that images stay uint8 in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError

Numbers = Sequence[float] | np.ndarray

CHUNK = 1024  # samples that are float at a time, to save memory


class Normalize:
    """`(x * scale - mean) / std` for each channel, as float32; the first axis of a sample holds the channels.

    Args:
        mean, std: (C,) numbers in units of `x * scale`, or one number for all channels.
        ndim: number of axes of one sample: 3 for images (C, H, W), 1 for features (C,).
        scale: factor on the stored numbers, such as 1/255 for bytes.
    """

    def __init__(self, mean: Numbers, std: Numbers, ndim: int, scale: float = 1.0):
        shape = (-1, *[1] * (ndim - 1))
        deviation = np.asarray(std, dtype=np.float64)
        factor, offset = scale / deviation, -np.asarray(mean, dtype=np.float64) / deviation
        self._factor = torch.tensor(factor, dtype=torch.float32).reshape(shape)
        self._offset = torch.tensor(offset, dtype=torch.float32).reshape(shape)

    def __call__(self, x: Tensor) -> Tensor:
        if self._factor.device != x.device:
            self._factor, self._offset = self._factor.to(x.device), self._offset.to(x.device)
        return x.to(torch.float32) * self._factor + self._offset


def normalizer(option: Any, x: np.ndarray, scale: float = 1.0) -> Normalize | None:
    """The normalisation of the option `normalize`; None if the inputs stay as they are.

    Args:
        option: "training" (mean and standard deviation of `x`, by channel), "none" (scaled only), or `[mean, std]`,
            each a number or a list of one number a channel.
        x: (N, C, ...) training inputs, as stored.
        scale: factor on the stored numbers, such as 1/255 for bytes.

    Raises:
        InputError: the option is none of these, or its numbers do not fit the channels.
    """
    if option in (None, "none"):
        return Normalize([0.0], [1.0], x.ndim - 1, scale) if scale != 1.0 else None
    if option == "training":
        mean, std = statistics(x)
        return Normalize(mean * scale, std * scale, x.ndim - 1, scale)
    mean, std = given_statistics(option, x.shape[1])
    return Normalize(mean, std, x.ndim - 1, scale)


def statistics(x: np.ndarray, origin: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of (N, C, ...) by channel, in float64; a constant channel gets deviation 1.

    Args:
        origin: (C,) numbers that are subtracted from `x` first, so that rounding is small against the deviation.

    Raises:
        InputError: a value is not finite, or too large to be squared.
    """
    axes = (0, *range(2, x.ndim))
    wide = (-1, *[1] * (x.ndim - 2))
    count = x.size // x.shape[1]

    def chunks() -> Iterator[np.ndarray]:
        for begin in range(0, len(x), CHUNK):
            chunk = x[begin : begin + CHUNK]
            yield chunk if origin is None else (chunk - origin.reshape(wide)).astype(np.float64)

    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        mean = np.sum([chunk.sum(axes, dtype=np.float64) for chunk in chunks()], axis=0) / count
        column = mean.reshape(wide)
        std = np.sqrt(np.sum([((chunk - column) ** 2).sum(axes) for chunk in chunks()], axis=0) / count)
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        finite = np.isfinite(x).all()
        problem = "values too large to be squared" if finite else "NaN or infinite values"
        raise InputError(
            f"the training inputs hold {problem}; {'scale' if finite else 'fill or drop'} these in the file."
        )
    return mean, np.where(std > 0, std, 1.0)


def given_statistics(option: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (1,) or (C,), of the option `[mean, std]`.

    Raises:
        InputError: the option is no such list, or its numbers do not fit the channels.
    """
    problem = f"data.normalize={option} cannot be used; write training, none, or [mean,std] such as [0.5,0.5]"
    try:
        mean, std = (np.atleast_1d(np.asarray(_plain(part), dtype=np.float64)) for part in option)
    except (TypeError, ValueError):
        raise InputError(f"{problem}.") from None
    if any(len(part) not in (1, channels) or part.ndim > 1 for part in (mean, std)):
        raise InputError(f"{problem}, each with 1 or {channels} numbers (one a channel).")
    if not ((std > 0) & np.isfinite(std)).all() or not np.isfinite(mean).all():
        raise InputError(f"{problem}, with finite numbers and std above 0.")
    return mean, std


def _plain(part: Any) -> Any:
    return part if isinstance(part, int | float | str) else list(part)
