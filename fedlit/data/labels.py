"""Class labels of any Dataset, from its attributes or else from one pass over its samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from fedlit.data.samples import Samples
from fedlit.data.subsets import check_indices
from fedlit.data.targets import Part, as_classes

_BATCH_SIZE = 256  # of the pass over all samples


class Labels(NamedTuple):
    """The known targets of a Dataset."""

    classes: np.ndarray | None  # (N,) int64; None: a target is not one class


def known_labels(dataset: Dataset[Any], part: Part | None = None) -> Labels | None:
    """The labels that a Dataset offers without reading its samples; None if it offers none.

    They come from an attribute `targets` or `labels`, or from the tensor `part` (by default the last) of a
    TensorDataset. A Subset or a ConcatDataset has the labels of its parts.
    """
    if isinstance(dataset, Subset):
        labels = known_labels(dataset.dataset, part)
        if labels is None or labels.classes is None:
            return labels
        return Labels(labels.classes[check_indices(dataset.indices, len(labels.classes), "a Subset")])
    if isinstance(dataset, ConcatDataset):
        label_sets = [known_labels(inner, part) for inner in dataset.datasets]
        if any(labels is None for labels in label_sets):
            return None
        classes = [labels.classes for labels in label_sets if labels is not None and labels.classes is not None]
        return Labels(np.concatenate(classes) if len(classes) == len(label_sets) else None)
    if isinstance(dataset, TensorDataset):
        if isinstance(part, str):  # a collate function makes dicts of the tensors
            return None
        position = len(dataset.tensors) - 1 if part is None else part % len(dataset.tensors)
        return Labels(as_classes(dataset.tensors[position]) if len(dataset.tensors) > 1 else None)
    for name in ("targets", "labels"):
        targets = getattr(dataset, name, None)
        if hasattr(targets, "__len__") and not callable(targets) and _length(targets) == len(dataset):  # type: ignore[arg-type]
            return Labels(as_classes(targets))
    return None


def _length(targets: Any) -> int:
    try:
        return len(targets)
    except TypeError:  # a tensor or array of one number
        return -1


def read_labels(samples: Samples) -> np.ndarray | None:
    """The labels (N,) by one pass over all samples, in batches, with a progress bar on a terminal."""
    first = samples.targets_in(samples.batch(np.zeros(1, dtype=np.int64)))
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
    read = [as_classes(samples.targets_in(batch)) for batch in batches]
    labels = [part for part in read if part is not None]
    return np.concatenate(labels) if len(labels) == len(parts) else None


def highest_label(*label_sets: np.ndarray | None) -> int | None:
    """The highest label; None if no label is a class, because all are below 0 or there are none."""
    highest = max((int(labels.max()) for labels in label_sets if labels is not None and len(labels)), default=-1)
    return highest if highest >= 0 else None
