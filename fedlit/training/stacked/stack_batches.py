"""The batches of a stack of clients: every tensor (n, B, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fedlit.data.transform import transformed
from fedlit.device_copies import to_device, to_device_of
from fedlit.torch_compat import pytree
from fedlit.training.batch_plan import StackBatch
from fedlit.training.job import Job
from fedlit.training.module_host import ModuleHost


class StackBatches:
    """Loads batches of some rows in the `call`-th fit. A transform draws for each sample what it draws outside a
    stack."""

    def __init__(self, host: ModuleHost, jobs: Sequence[Job], call: int):
        self.host, self.jobs, self.call, self.data = host, jobs, call, host.data
        self._epoch_keys: dict[int, np.ndarray] = {}  # by epoch: (K,) keys of the samples' draws
        self.numbers = to_device([[job.client] for job in jobs], host.layout.device)
        self.draws = self.data.transform is not None or not self.data.train.in_memory

    def __call__(self, part: StackBatch, epoch: int) -> Any:
        keys = self._keys(epoch)[part.rows] if self.draws else None
        if self.data.train.in_memory:
            batch = self.data.train.batch(part.index)
        else:
            assert keys is not None
            rows = [self.data.train.batch(i, int(k)) for i, k in zip(part.index, keys, strict=True)]
            batch = pytree.tree_map(lambda *t: torch.stack(t), *rows)
        if self.data.transform is not None and keys is not None:
            if not self.data.train.in_memory:
                batch = self.host.trainer.strategy.batch_to_device(batch, self.numbers.device)
            index, key = to_device_of(self.numbers, part.index), to_device_of(self.numbers, keys)[:, None]
            rows_of_batch = part.rows if isinstance(part.rows, slice) else to_device_of(self.numbers, part.rows)
            batch = transformed(self.data.transform, batch, index, self.numbers[rows_of_batch], "train", key)
        return self.host.on_device(batch, already=self.data.train.in_memory)

    def _keys(self, epoch: int) -> np.ndarray:
        if epoch not in self._epoch_keys:
            self._epoch_keys[epoch] = np.array([job.key("batch", self.call, epoch) for job in self.jobs])
        return self._epoch_keys[epoch]
