"""A set of samples from which batches are cut by index, and the kind of it that is held in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fedlit.data.transform import Batch


class Samples(ABC):
    """N samples, numbered 0 to N - 1."""

    in_memory: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def labels(self) -> np.ndarray | None:
        """(N,) int64 class labels; None where the targets are not one class a sample."""

    @abstractmethod
    def batch(self, index: np.ndarray, key: int = 0) -> Batch:
        """The samples of `index`, (B,), as one batch; in memory (..., B), and the leading axes are the batch's too.

        Args:
            key: of the stream for draws that a data set makes itself (random transforms); unused in memory.
        """

    def batches(self, parts: Sequence[np.ndarray], key: int = 0) -> Iterator[Batch]:
        """One batch for each of `parts`, index arrays, in their order."""
        return (self.batch(part, key) for part in parts)

    def to(self, device: torch.device | str) -> Samples:
        """These samples with their tensors on a device; themselves where they are not held in memory."""
        return self


class TensorSamples(Samples):
    """Samples held as tensors whose first axis is the sample; a batch is a tuple of one tensor each.

    The first tensor holds the inputs, the last the targets: class labels where it is (N,) of integers. Images are
    contiguous NCHW and stay uint8; `prepare` (picklable, such as `Normalize`) makes floats of a batch's inputs.
    """

    in_memory = True

    def __init__(self, *tensors: Tensor, prepare: Callable[[Tensor], Tensor] | None = None):
        if not tensors or any(len(t) != len(tensors[0]) for t in tensors):
            raise ValueError(f"tensors of one length are needed, not of {[len(t) for t in tensors]}")
        self.tensors = tuple(t.contiguous() for t in tensors)
        self.prepare = prepare
        self._labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tensors[0])

    def labels(self) -> np.ndarray | None:
        targets = self.tensors[-1]
        if len(self.tensors) < 2 or targets.ndim != 1 or targets.is_floating_point() or targets.is_complex():
            return None
        if self._labels is None:
            self._labels = targets.cpu().numpy().astype(np.int64)
        return self._labels

    def batch(self, index: np.ndarray, key: int = 0) -> tuple[Tensor, ...]:
        # a copy: torch warns of arrays that are not writable, and the caller may write into its own
        at = torch.from_numpy(np.array(index, dtype=np.int64)).to(self.tensors[0].device, non_blocking=True)
        cut = [t.index_select(0, at.flatten()).view(*at.shape, *t.shape[1:]) for t in self.tensors]
        if self.prepare is not None:
            cut[0] = self.prepare(cut[0])
        return tuple(cut)

    def to(self, device: torch.device | str) -> TensorSamples:
        moved = [t.to(device) for t in self.tensors]
        if all(a is b for a, b in zip(moved, self.tensors, strict=True)):
            return self
        return TensorSamples(*moved, prepare=self.prepare)
