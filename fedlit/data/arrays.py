"""From arrays in files to samples in memory."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from fedlit.data.features import differences_are_lost, normalised_features
from fedlit.data.layout import channels_first, layout_of
from fedlit.data.normalize import normalizer
from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource

_log = logging.getLogger(__name__)

_MOST_CLASSES = 1_000_000


def inputs_of(x: np.ndarray, name: str = "inputs", meaning: str = "auto", layout: str = "auto") -> np.ndarray:
    """Inputs in the form that `source_of` takes: images uint8 (N, C, ...), features floating (N, C, ...), tokens int64.

    Args:
        x: (N, ...) numbers.
        name: of the array, for messages.
        meaning: "features" (numbers that are normalised), "tokens" (whole numbers that stay as they are), or "auto":
            bytes are images, floats are features, other integers are tokens.
        layout: the axis of the channels, see `fedlit.data.layout.channels_first`, or "auto": see `chosen_layout`.

    Raises:
        ValueError: the array does not hold numbers, has no axis after the samples, or does not fit its meaning.
    """
    if x.dtype.kind not in "uifb" or x.ndim < 2:
        remedy = f"write {name}[:, None]" if x.dtype.kind in "uifb" else "write them as floats"
        raise ValueError(f"{name}: inputs must be numbers of shape (samples, ...), not {_described(x)}; {remedy}.")
    if not x[:1].size:
        raise ValueError(f"{name}: inputs need at least one number a sample, not {_described(x)}.")
    if _is_tokens(x, meaning):
        if layout != "auto":
            raise ValueError(
                f"{name}: {x.dtype} are read as tokens, which have no data.layout; write data.inputs=features."
            )
        return _integers(x, name, "data.inputs=features")
    x = channels_first(x, chosen_layout(x, name, meaning, layout))
    if x.dtype == np.uint8 and meaning == "auto":
        return np.ascontiguousarray(x)
    return x if x.dtype.kind == "f" else _floating(x)


def chosen_layout(x: np.ndarray, name: str, meaning: str, layout: str) -> str:
    """The given layout, or for "auto" that of `fedlit.data.layout.layout_of`, which may log; tokens have none."""
    return layout if layout != "auto" or _is_tokens(x, meaning) else layout_of(x, name)


def targets_of(y: np.ndarray, name: str = "targets", task: str = "auto") -> np.ndarray:
    """Targets in the form kept in memory: classes (N,) int64, numbers (N, ...) float32; classes (N, 1) are flattened.

    Args:
        y: (N, ...) numbers.
        name: of the array, for messages.
        task: "classes", "regression", or "auto": integers are classes, floats a regression.

    Raises:
        ValueError: the array does not hold numbers, or numbers that are no classes, not finite or too large.
    """
    if y.dtype.kind not in "uifb":
        remedy = "; number the classes, by np.unique(y, return_inverse=True)" if y.dtype.kind in "US" else ""
        raise ValueError(f"{name}: targets must be numbers, not {y.dtype}{remedy}.")
    if task == "regression" or (task == "auto" and y.dtype.kind == "f"):
        return _regression(y, name)
    y = _integers(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, name, "data.task=regression")
    if task == "classes" and y.ndim != 1:
        raise ValueError(
            f"{name}: a sample has one class, not {_described(y)}; write data.task=auto, or argmax(1) of it."
        )
    if y.ndim == 1 and y.min() < 0:
        raise ValueError(
            f"{name}: classes are numbered from 0, but the smallest is {y.min()}; number them from 0, or write "
            "data.task=regression."
        )
    if y.ndim == 1 and y.max() >= _MOST_CLASSES:
        raise ValueError(
            f"{name}: classes are numbered from 0 without large gaps, but these are {y.min()} to {y.max()}; number "
            "them by np.unique(y, return_inverse=True), or write data.task=regression."
        )
    return y


def log_doubtful_targets(y: np.ndarray, name: str, task: str) -> None:
    """Log targets (N, ...) of a regression that may be classes, hold NaN, or lose their differences in 32 bits."""
    if task == "classes" or (task == "auto" and y.dtype.kind != "f"):
        return
    columns = y.reshape(len(y), -1).astype(np.float64)
    if np.isnan(columns).any():
        _log.warning("%s holds NaN; the model's loss has to leave these targets out.", name)
    elif task == "auto" and columns.shape[1] == 1 and (columns == np.rint(columns)).all():
        _log.warning(
            "%s holds whole numbers as floats, which are read as a regression; write data.task=classes if these are "
            "classes, or data.task=regression to confirm.",
            name,
        )
    if y.dtype.itemsize > 4 and any(differences_are_lost(column[np.isfinite(column)]) for column in columns.T):
        _log.warning("%s: 32 bits cannot tell the targets apart; subtract a constant in the file.", name)


def source_of(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    normalize: Any,
    label_names: list[str] | None = None,
    input_names: tuple[str, str] = ("the training set", "the test set"),
) -> DataSource:
    """A source in memory from pairs (inputs, targets) that `inputs_of` and `targets_of` returned.

    Images stay bytes, and their batches are normalised. Features are normalised at once, in 64 bits.

    Args:
        name: of the data set, for messages.
        train: the training inputs (N, ...) and targets (N, ...).
        test: the test inputs (M, ...) and targets (M, ...).
        normalize: see `fedlit.data.normalize.normalizer`; bytes are scaled to [0, 1], tokens (int64) do not change.
        label_names: names of the classes; None: they are counted.
        input_names: of the two arrays of inputs, for messages.

    Raises:
        ValueError: training and test samples differ in type or shape, or features are not finite.
    """
    (x, y), (x_test, y_test) = train, test
    kinds = [f"{_kind(a)} {a.shape[1:]} -> {b.dtype} {b.shape[1:]}" for a, b in (train, test)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"training and test samples differ in type or shape: {kinds[0]} and {kinds[1]}.")
    prepare = normalizer(normalize, x, 1 / 255) if x.dtype == np.uint8 else None
    if x.dtype.kind == "f":
        x, x_test = normalised_features(normalize, x, x_test, input_names)
    train_samples, test_samples = (
        TensorSamples(torch.from_numpy(inputs), torch.from_numpy(targets), prepare=prepare)
        for inputs, targets in ((x, y), (x_test, y_test))
    )
    classes = None
    if y.dtype == np.int64 and y.ndim == 1:
        classes = len(label_names) if label_names else int(max(y.max(), y_test.max())) + 1
    return DataSource(name, train_samples, test_samples, classes, tuple(x.shape[1:]), label_names=label_names)


def _regression(y: np.ndarray, name: str) -> np.ndarray:
    if np.isinf(y).any() or (y.size == len(y) and np.isnan(y).any()):
        raise ValueError(f"{name}: targets hold NaN or infinite values; drop these samples from the file.")
    with np.errstate(over="ignore"):
        targets = np.ascontiguousarray(y, dtype=np.float32)
    if np.isinf(targets).any():
        raise ValueError(f"{name}: targets of a regression must fit into 32 bits; scale them in the file.")
    return targets


def _is_tokens(x: np.ndarray, meaning: str) -> bool:
    return meaning == "tokens" or (meaning == "auto" and x.dtype.kind != "f" and x.dtype != np.uint8)


def _integers(x: np.ndarray, name: str, remedy: str) -> np.ndarray:
    """Whole numbers as int64."""
    largest = np.iinfo(np.int64).max
    fits = x.max() <= largest if x.dtype.kind == "u" else True
    if x.dtype.kind == "f":
        fits = bool((np.abs(x) < largest).all() and (x == np.rint(x)).all())
    if not fits:
        raise ValueError(f"{name} holds numbers that are not whole, or too large for int64; write {remedy}.")
    return np.ascontiguousarray(x, dtype=np.int64)


def _floating(x: np.ndarray) -> np.ndarray:
    """Integers as floats: exact up to 2^53, and above where the platform has more than 64 bits."""
    exact = x.dtype.kind == "b" or (int(x.max()) <= 2**53 and int(x.min()) >= -(2**53))
    return x.astype(np.float64 if exact else np.longdouble)


def _kind(x: np.ndarray) -> str:
    return "float32" if x.dtype.kind == "f" else str(x.dtype)


def _described(x: np.ndarray) -> str:
    return f"{x.dtype} of shape {x.shape}"
