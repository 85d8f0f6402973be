"""Labels (N, 1), as MedMNIST has them, for a training step that takes (N,)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from fedlit.data.samples import Samples
from fedlit.data.targets import Part, class_targets
from fedlit.data.transform import Batch


class SqueezedLabels(Samples):
    """Samples whose labels are (..., B) in a batch, in place of (..., B, 1)."""

    def __init__(self, samples: Samples):
        self.samples, self.target, self.in_memory = samples, samples.target, samples.in_memory

    def __len__(self) -> int:
        return len(self.samples)

    def labels(self) -> np.ndarray | None:
        return self.samples.labels()

    def batch(self, index: np.ndarray, key: int = 0) -> Batch:
        return squeezed(self.samples.batch(index, key), self.target)

    def batches(self, parts: Sequence[np.ndarray], key: int = 0) -> Iterator[Batch]:
        return (squeezed(batch, self.target) for batch in self.samples.batches(parts, key))

    def to(self, device: torch.device | str) -> Samples:
        return SqueezedLabels(self.samples.to(device))


def has_label_axis(samples: Samples, batch: Batch) -> bool:
    """Whether a batch is a list, tuple or dict with labels (B, 1)."""
    targets = samples.targets_in(batch)
    return isinstance(batch, list | tuple | dict) and class_targets(targets) is not None and targets.dim() == 2


def squeezed(batch: Batch, part: Part | None) -> Batch:
    """A batch with its labels (..., 1) as (...).

    Args:
        part: of the labels; None: the last part of a list or tuple.
    """
    if isinstance(batch, dict):
        return batch | {part: batch[part].squeeze(-1)}
    fields = getattr(batch, "_fields", ())
    where: Any = fields.index(part) if isinstance(part, str) else -1 if part is None else part
    parts = list(batch)
    parts[where] = parts[where].squeeze(-1)
    return type(batch)(*parts) if fields else type(batch)(parts)
