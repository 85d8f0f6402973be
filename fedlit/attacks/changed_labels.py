"""Labels that take the place of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.data.targets import Part, with_targets
from fedlit.data.transform import Batch


class ChangedLabels:
    """A table of classes: c becomes table[c]. A label that is no class stays as it is.

    >>> change = ChangedLabels([2, 1, 0])
    >>> change(torch.tensor([0, 1, 2, -100]))
    tensor([   2,    1,    0, -100])
    >>> change.differ(np.array([0, 1, 2, -100]))
    array([ True, False,  True, False])
    """

    def __init__(self, table: list[int]):
        self.table = np.array(table, dtype=np.int64)
        self._on_device: Tensor | None = None

    @classmethod
    def turned(cls, classes: int) -> ChangedLabels:
        """c becomes C - 1 - c."""
        return cls(list(range(classes))[::-1])

    @classmethod
    def mapped(cls, classes: int, mapping: Mapping[int, int]) -> ChangedLabels:
        """The classes of a mapping are changed, and the others stay."""
        return cls([mapping.get(c, c) for c in range(classes)])

    @classmethod
    def all_to(cls, classes: int, target: int) -> ChangedLabels:
        """All classes become one."""
        return cls([target] * classes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_on_device": None}

    def __call__(self, labels: Tensor) -> Tensor:
        """Labels of any shape, integers or bools, on their device."""
        if self._on_device is None or self._on_device.device != labels.device:
            self._on_device = torch.from_numpy(self.table).to(labels.device, non_blocking=True)
        numbers, classes = labels.long(), len(self.table)
        changed = self._on_device[numbers.clamp(0, classes - 1)]
        return torch.where((numbers >= 0) & (numbers < classes), changed, numbers).to(labels.dtype)

    def differ(self, labels: np.ndarray) -> np.ndarray:
        """(N,) bools: the labels (N,) that are classes and become others."""
        is_class = (labels >= 0) & (labels < len(self.table))
        return is_class & (self.table[labels.clip(0, len(self.table) - 1)] != labels)

    def in_batch(self, batch: Batch, part: Part | None, where: Tensor | None = None) -> Batch:
        """A batch with these labels as its targets.

        Args:
            where: (..., B) bools, the samples whose labels change; None: all.
        """

        def change(labels: Tensor) -> Tensor:
            changed = self(labels)
            if where is None:
                return changed
            return torch.where(where.reshape(*where.shape, *[1] * (labels.dim() - where.dim())), changed, labels)

        return with_targets(batch, part, change)
