"""The batches of a stack of clients: every tensor (n, B, ...)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fedlit.data.transform import chain, transformed
from fedlit.device_copies import to_device, to_device_of
from fedlit.torch_compat import pytree
from fedlit.training.batch_plan import StackBatch
from fedlit.training.fit_plan import FitPlan
from fedlit.training.module_host import ModuleHost


class StackBatches:
    """Loads the batches of a fit for some rows. A transform draws for each sample what it draws outside a stack."""

    def __init__(self, host: ModuleHost, plan: FitPlan):
        self.host, self.plan, self.data = host, plan, host.data
        self._keys: dict[tuple[int, int], int] = {}  # by row and pass: the key of the samples' draws
        self.numbers = to_device([[job.client] for job in plan.jobs], host.layout.device)
        self.transform = chain(self.data.transform, self.data.poison_of("train", plan.jobs[0].round.number))
        self.needs_keys = self.transform is not None or not self.data.train.in_memory

    def __call__(self, part: StackBatch) -> Any:
        keys = self._keys_of(part) if self.needs_keys else None
        if self.data.train.in_memory:
            batch = self.data.train.batch(part.index)
        else:
            assert keys is not None
            rows = [self.data.train.batch(i, int(k)) for i, k in zip(part.index, keys, strict=True)]
            batch = pytree.tree_map(lambda *t: torch.stack(t), *rows)
        if self.transform is not None and keys is not None:
            if not self.data.train.in_memory:
                batch = self.host.trainer.strategy.batch_to_device(batch, self.numbers.device)
            index, key = to_device_of(self.numbers, part.index), to_device_of(self.numbers, keys)[:, None]
            rows_of_batch = part.rows if isinstance(part.rows, slice) else to_device_of(self.numbers, part.rows)
            batch = transformed(self.transform, batch, index, self.numbers[rows_of_batch], "train", key)
        return self.host.on_device(batch, already=self.data.train.in_memory)

    def _keys_of(self, part: StackBatch) -> np.ndarray:
        """(n,) keys of the draws in a part of the plan."""
        rows = np.arange(len(self.plan.jobs))[part.rows]
        places = list(zip(rows.tolist(), np.broadcast_to(part.shard_pass, len(rows)).tolist(), strict=True))
        for place in places:
            if place not in self._keys:
                self._keys[place] = self.plan.key(*place)
        return np.array([self._keys[place] for place in places])
