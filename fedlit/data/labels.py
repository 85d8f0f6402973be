"""Class labels of any Dataset, from its attributes or else from one pass over its samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from fedlit.data.samples import Samples

_NAMES = ("targets", "labels", "target", "label", "y")  # keys of the target in a sample that is a dict
_BATCH_SIZE = 256  # of the pass over all samples


class Labels(NamedTuple):
    """The known targets of a Dataset."""

    classes: np.ndarray | None  # (N,) int64; None: a target is not one class


def known_labels(dataset: Dataset[Any]) -> Labels | None:
    """The labels that a Dataset offers without reading its samples; None if it offers none.

    They come from an attribute `targets` or `labels`, or from the last tensor of a TensorDataset. A Subset or a
    ConcatDataset has the labels of its parts.
    """
    if isinstance(dataset, Subset):
        labels = known_labels(dataset.dataset)
        if labels is None or labels.classes is None:
            return labels
        return Labels(labels.classes[np.asarray(dataset.indices, dtype=np.int64)])
    if isinstance(dataset, ConcatDataset):
        parts = [known_labels(part) for part in dataset.datasets]
        if any(part is None for part in parts):
            return None
        classes = [part.classes for part in parts if part is not None and part.classes is not None]
        return Labels(np.concatenate(classes) if len(classes) == len(parts) else None)
    if isinstance(dataset, TensorDataset):
        return Labels(as_classes(dataset.tensors[-1]) if len(dataset.tensors) > 1 else None)
    for name in ("targets", "labels"):
        targets = getattr(dataset, name, None)
        if targets is not None and not callable(targets) and len(targets) == len(dataset):  # type: ignore[arg-type]
            return Labels(as_classes(targets))
    return None


def as_classes(targets: Any) -> np.ndarray | None:
    """`targets` as (N,) int64 if they are one integer or bool a sample, else None."""
    try:
        array = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
    except ValueError:  # ragged: boxes, sequences
        return None
    return array.astype(np.int64) if array.ndim == 1 and array.dtype.kind in "iub" else None


def read_labels(samples: Samples) -> np.ndarray | None:
    """The labels (N,) by one pass over all samples, in batches, with a progress bar on a terminal."""
    first = _targets(samples.batch(np.zeros(1, dtype=np.int64)))
    if first is None or as_classes(first) is None:
        return None  # text, numbers, masks: no need to read the other samples
    parts = [np.arange(i, min(i + _BATCH_SIZE, len(samples))) for i in range(0, len(samples), _BATCH_SIZE)]
    terminal = Console(stderr=True)
    batches = track(
        samples.batches(parts),
        "Reading labels (give the data set an attribute `targets` to avoid this)",
        total=len(parts),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    read = [as_classes(_targets(batch)) for batch in batches]
    return np.concatenate([part for part in read if part is not None])


def _targets(batch: Any) -> Any:
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[-1]
    if isinstance(batch, dict):
        return next((batch[name] for name in _NAMES if name in batch), None)
    return None
