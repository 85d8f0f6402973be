"""`Client.collect` for a stack of clients: batches of several clients in one call of the algorithm's function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.device_copies import to_device, to_device_of
from fedlit.model_vectors import Model
from fedlit.torch_compat import pytree
from fedlit.training.batch_plan import BatchPlan, StackBatch
from fedlit.training.collect import Collection
from fedlit.training.collected_sums import CollectedSums
from fedlit.training.job import Job, SampleOrder
from fedlit.training.stacked.setup import StackSetup
from fedlit.training.stacked.stack_buffers import stack_buffers
from fedlit.training.stacked.stacked_call import StackedCall
from fedlit.training.stacked.stacked_step import StackedStep
from fedlit.training.step_draws import DrawKeys


class StackedCollect:
    """The module is open for measurements (`MeasuredModule.opened`).

    Args:
        jobs: K clients, those with most samples in the part first.
        model: (K, P) and (K, S).
        counters: the server's integer buffers, by name.
        extras: (K, ...).
    """

    def __init__(
        self,
        setup: StackSetup,
        jobs: Sequence[Job],
        collection: Collection,
        model: Model,
        counters: dict[str, Tensor],
        extras: Sequence[Tensor],
    ):
        host, layout = setup.host, setup.host.layout
        self.host, self.jobs, self.collection = host, jobs, collection
        self.weights, self.extras = model.weights, extras
        self.buffers = stack_buffers(layout, model.statistics, counters, len(jobs))
        parts = [job.indices(collection.on) for job in jobs]
        sizes = np.array([len(part) for part in parts])
        self.order = SampleOrder(np.concatenate(parts), np.cumsum(sizes) - sizes)
        self.plan = BatchPlan(sizes, jobs[0].batch_size, same_number=setup.plan.reads_batch_idx)
        self.owners = to_device([[job.owner(collection.on)] for job in jobs], self.weights.device)
        keyed = host.traits.uses_keyed_rng
        self.call = StackedCall(host.module, layout, keyed, setup.plan.patch_vmap)
        self.keys = to_device([collection.key(job) for job in jobs], self.weights.device) if keyed else None
        self.draw_keys = DrawKeys(lambda: [collection.key(job) for job in jobs], self.weights.device)

    def run(self) -> dict[str, Tensor]:
        """The sums (K, ...).

        Raises:
            Exception: the step does something that a stack cannot do.
        """
        sums = CollectedSums(len(self.jobs))
        for part in self.plan.epoch(self.order, 0, self.plan.counts > 0):
            interrupts.check()
            rows = part.rows if isinstance(part.rows, slice) else to_device_of(self.weights, part.rows)
            leaf = self.weights[rows].detach().clone().requires_grad_()
            step = self._step(part, rows, leaf)
            sums.add(rows, self.collection.function(step, leaf, *(v[rows] for v in self.extras)), len(leaf))
        return sums.totals()

    def _step(self, part: StackBatch, rows: slice | Tensor, weights: Tensor) -> StackedStep:
        numbers = np.arange(len(self.jobs))[part.rows]
        is_full = part.index.shape[1] == self.plan.batch_size
        places = np.full(len(numbers), part.batch_idx) if is_full else self.plan.full[numbers]
        draws = () if self.keys is None else (self.keys[rows], to_device_of(self.weights, places))
        return StackedStep(
            self.call,
            self.host.trainer.precision_plugin.val_step_context,
            draws,
            {n: b[rows] for n, b in self.buffers.items()},
            lambda what: self.draw_keys(what)[rows],
            self._batch(part, rows),
            part.batch_idx,
            None,
            self.host.data.samples(self.collection.on),
            weights.new_full((len(weights), 1), part.index.shape[1]),
            places,
        )

    def _batch(self, part: StackBatch, rows: slice | Tensor) -> Any:
        """Every tensor (n, B, ...), without augmentation, as where a loss is measured."""
        samples = self.host.data.samples(self.collection.on)
        if samples.in_memory:
            batch = samples.batch(part.index)
        else:
            batch = pytree.tree_map(lambda *t: torch.stack(t), *(samples.batch(index) for index in part.index))
        poison = self.host.data.poison_of(self.collection.on, self.jobs[0].round.number)
        index = to_device_of(self.weights, part.index)
        return self.host.prepared(batch, index, self.owners[rows], "validation", poison)
