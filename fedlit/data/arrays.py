"""From arrays in files to samples in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fedlit.data.normalize import normalizer, refuse_non_finite
from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource

_CHANNELS = (1, 2, 3, 4)  # numbers of channels that an image may have


def inputs_of(x: np.ndarray) -> np.ndarray:
    """Inputs in the form kept in memory: images uint8 (N, C, H, W), features float32, other integers int64.

    Bytes (N, H, W, C) and (N, H, W) are images. Bytes (N, C, H, W) stay where the last axis cannot be channels.

    Raises:
        ValueError: the array does not hold numbers, or has no axis after the samples.
    """
    if x.dtype.kind not in "uifb" or x.ndim < 2:
        raise ValueError(f"inputs must be numbers of shape (samples, ...), not {x.dtype} of shape {x.shape}.")
    if x.dtype == np.uint8 and x.ndim == 3:
        return np.ascontiguousarray(x[:, None])
    if x.dtype == np.uint8 and x.ndim == 4:
        channels_first = x.shape[3] not in _CHANNELS and x.shape[1] in _CHANNELS
        return np.ascontiguousarray(x if channels_first else x.transpose(0, 3, 1, 2))
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(x, dtype=np.float32 if x.dtype.kind == "f" else np.int64)


def targets_of(y: np.ndarray) -> np.ndarray:
    """Targets in the form kept in memory: classes (N,) int64, numbers (N, ...) float32; classes (N, 1) are flattened.

    Raises:
        ValueError: the array does not hold numbers, or holds negative classes.
    """
    if y.dtype.kind not in "uifb":
        raise ValueError(f"targets must be numbers, not {y.dtype}.")
    if y.dtype.kind == "f":
        return np.ascontiguousarray(y, dtype=np.float32)
    y = np.ascontiguousarray(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, dtype=np.int64)
    if y.ndim == 1 and y.min() < 0:
        raise ValueError(f"classes are numbered from 0, but the smallest is {y.min()}.")
    return y


def source_of(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    normalize: Any,
    label_names: list[str] | None = None,
) -> DataSource:
    """A source in memory from pairs (inputs, targets) that `inputs_of` and `targets_of` returned.

    Args:
        name: of the data set, for messages.
        train: the training inputs (N, ...) and targets (N, ...).
        test: the test inputs (M, ...) and targets (M, ...).
        normalize: see `fedlit.data.normalize.normalizer`; bytes are scaled to [0, 1], tokens (int64) do not change.
        label_names: names of the classes; None: they are counted.

    Raises:
        ValueError: training and test samples differ in type or shape.
    """
    (x, y), y_test = train, test[1]
    kinds = [
        f"{inputs.dtype} {inputs.shape[1:]} -> {targets.dtype} {targets.shape[1:]}" for inputs, targets in (train, test)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(f"training and test samples differ in type or shape: {kinds[0]} and {kinds[1]}.")
    prepare = None if x.dtype == np.int64 else normalizer(normalize, x, 1 / 255 if x.dtype == np.uint8 else 1.0)
    if prepare is not None and normalize == "training" and x.dtype == np.float32:
        refuse_non_finite(test[0], "test")
    train_samples, test_samples = (
        TensorSamples(torch.from_numpy(inputs), torch.from_numpy(targets), prepare=prepare)
        for inputs, targets in (train, test)
    )
    classes = None
    if y.dtype == np.int64 and y.ndim == 1:
        classes = len(label_names) if label_names else int(max(y.max(), y_test.max())) + 1
    return DataSource(name, train_samples, test_samples, classes, tuple(x.shape[1:]), label_names=label_names)
