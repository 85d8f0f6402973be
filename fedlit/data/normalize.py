"""Normalisation of batches, so that images stay uint8 in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError

Numbers = Sequence[float] | np.ndarray

_CHUNK = 1024  # samples that are float at a time, to save memory


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
    mean, std = _parsed(option, x.shape[1])
    return Normalize(mean, std, x.ndim - 1, scale)


def statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of (N, C, ...) by channel, in float64; a constant channel gets deviation 1.

    Raises:
        InputError: a value is not finite.
    """
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(x), _CHUNK)]
    mean = np.sum([x[c].sum(axes, dtype=np.float64) for c in chunks], axis=0) / count
    refuse_non_finite(mean, "training")
    column = mean.reshape(-1, *[1] * (x.ndim - 2))
    std = np.sqrt(np.sum([((x[c] - column) ** 2).sum(axes) for c in chunks], axis=0) / count)
    return mean, np.where(std > 0, std, 1.0)


def refuse_non_finite(numbers: np.ndarray, part: str) -> None:
    """
    Raises:
        InputError: a value is not finite.
    """
    if not np.isfinite(numbers).all():
        raise InputError(f"the {part} inputs hold NaN or infinite values; fill or drop these in the file.")


def _parsed(option: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    problem = f"data.normalize={option} cannot be used; write training, none, or [mean,std] such as [0.5,0.5]"
    try:
        mean, std = (np.atleast_1d(np.asarray(_plain(part), dtype=np.float64)) for part in option)
    except (TypeError, ValueError):
        raise InputError(f"{problem}.") from None
    if any(len(part) not in (1, channels) or part.ndim > 1 for part in (mean, std)):
        raise InputError(f"{problem}, each with 1 or {channels} numbers (one a channel).")
    if not (std > 0).all():
        raise InputError(f"{problem}, with std above 0.")
    return mean, std


def _plain(part: Any) -> Any:
    return part if isinstance(part, int | float | str) else list(part)
