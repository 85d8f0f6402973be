"""Class labels of any Dataset: from what it offers, else from one pass over its samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from fedlit.data.samples import Samples

_NAMES = ("targets", "labels", "target", "label", "y")  # of attributes, and of keys where a sample is a dict
_AT_ONCE = 256  # samples in a batch of the pass


class Labels(NamedTuple):
    """What is known of a Dataset's targets."""

    classes: np.ndarray | None  # (N,) int64; None: targets are not one class a sample


def known_labels(dataset: Dataset[Any]) -> Labels | None:
    """The labels that a Dataset offers without reading its samples; None where it offers none.

    They come from `targets` or `labels`, from a TensorDataset's last tensor, or from these of what a Subset or a
    ConcatDataset is made of.
    """
    if isinstance(dataset, Subset):
        whole = known_labels(dataset.dataset)
        if whole is None or whole.classes is None:
            return whole
        return Labels(whole.classes[np.asarray(dataset.indices, dtype=np.int64)])
    if isinstance(dataset, ConcatDataset):
        parts = [known_labels(part) for part in dataset.datasets]
        if any(part is None for part in parts):
            return None
        classes = [part.classes for part in parts if part is not None and part.classes is not None]
        return Labels(np.concatenate(classes) if len(classes) == len(parts) else None)
    if isinstance(dataset, TensorDataset):
        return Labels(as_classes(dataset.tensors[-1]) if len(dataset.tensors) > 1 else None)
    for name in ("targets", "labels"):
        found = getattr(dataset, name, None)
        if found is not None and not callable(found) and len(found) == len(dataset):  # type: ignore[arg-type]
            return Labels(as_classes(found))
    return None


def as_classes(targets: Any) -> np.ndarray | None:
    """(N,) int64 where `targets` are one integer (or truth value) a sample; else None."""
    try:
        found = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
    except ValueError:  # ragged: boxes, sequences
        return None
    return found.astype(np.int64) if found.ndim == 1 and found.dtype.kind in "iub" else None


def read_labels(samples: Samples) -> np.ndarray | None:
    """The labels by one pass over all samples, in batches; a progress bar is shown on a terminal only."""
    first = _targets(samples.batch(np.zeros(1, dtype=np.int64)))
    if first is None or as_classes(first) is None:
        return None  # no need to read on: text, numbers, masks
    parts = [np.arange(i, min(i + _AT_ONCE, len(samples))) for i in range(0, len(samples), _AT_ONCE)]
    terminal = Console(stderr=True)
    shown = track(
        samples.batches(parts),
        "Reading labels (a `targets` attribute of the data set spares this)",
        total=len(parts),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    read = [as_classes(_targets(batch)) for batch in shown]
    return np.concatenate([part for part in read if part is not None])


def _targets(batch: Any) -> Any:
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[-1]
    if isinstance(batch, dict):
        return next((batch[name] for name in _NAMES if name in batch), None)
    return None
