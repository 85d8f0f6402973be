"""Samples that give batches by index, and their implementation in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.data.targets import Part, as_classes, check_range, measured_targets, target_in
from fedlit.data.transform import Batch


class Samples(ABC):
    """N samples, numbered 0 to N - 1. A subclass needs `__len__`, `labels` and `batch`.

    >>> class Squares(Samples):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def labels(self):
    ...         return None  # a regression
    ...
    ...     def batch(self, index, key=0):
    ...         x = torch.from_numpy(index).float()
    ...         return x, x**2
    >>> Squares().batch(np.array([1, 3]))
    (tensor([1., 3.]), tensor([1., 9.]))
    """

    in_memory: bool = False  # `batch` accepts an index with leading axes, for a stack of clients
    target: Part | None = None  # the part of a batch that holds the targets; None: see `target_in`

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def labels(self) -> np.ndarray | None:
        """(N,) int64 class labels; None if a target is not one class. A label below 0 is no class."""

    @abstractmethod
    def batch(self, index: np.ndarray, key: int = 0) -> Batch:
        """One batch of samples.

        Args:
            index: (B,) sample numbers; with `in_memory` also (..., B), whose leading axes the batch gets too.
            key: keys the draws of the data set itself, such as random transforms; unused in memory.
        """

    def batches(self, parts: Sequence[np.ndarray], key: int = 0) -> Iterator[Batch]:
        """One batch for each index array of `parts`, in their order."""
        return (self.batch(part, key) for part in parts)

    def targets_in(self, batch: Batch) -> Any:
        """The targets of a batch; None if it has none."""
        return target_in(batch, self.target)

    def measured_targets(self, batch: Batch) -> Any:
        """The targets that metrics compare with a model's outputs; None if there are none."""
        return measured_targets(batch, self.target)

    def to(self, device: torch.device | str) -> Samples:
        """These samples with their tensors on a device; unchanged if they are not in memory."""
        return self


class TensorSamples(Samples):
    """Samples in tensors (N, ...); a batch is a list with one tensor for each of them, as a DataLoader gives it.

    The first tensor holds the inputs, the last one the targets; integers (N,) or (N, 1) are class
    labels. Images are contiguous
    NCHW and stay uint8. `prepare` (picklable, such as `Normalize`) turns the inputs of a batch into floats.
    """

    in_memory = True

    def __init__(self, *tensors: Tensor, prepare: Callable[[Tensor], Tensor] | None = None):
        if not tensors or any(len(t) != len(tensors[0]) for t in tensors):
            raise ValueError(f"tensors must have one length, not {[len(t) for t in tensors]}")
        self.tensors = tuple(t.contiguous() for t in tensors)
        self.prepare = prepare
        self._labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tensors[0])

    def labels(self) -> np.ndarray | None:
        if self._labels is None and len(self.tensors) > 1:
            self._labels = check_range(as_classes(self.targets_in(self.tensors)))
        return self._labels

    def batch(self, index: np.ndarray, key: int = 0) -> list[Tensor]:
        # np.array copies: torch warns about read-only arrays, and the caller may change its array.
        rows = torch.from_numpy(np.array(index, dtype=np.int64)).to(self.tensors[0].device, non_blocking=True)
        batch = [t.index_select(0, rows.flatten()).view(*rows.shape, *t.shape[1:]) for t in self.tensors]
        if self.prepare is not None:
            batch[0] = self.prepare(batch[0])
        return batch

    def to(self, device: torch.device | str) -> TensorSamples:
        moved = [t.to(device) for t in self.tensors]
        if all(new is old for new, old in zip(moved, self.tensors, strict=True)):
            return self
        samples = TensorSamples(*moved, prepare=self.prepare)
        samples.target = self.target
        return samples
