"""`Client.collect` for one client: its batches, one after the other, in evaluation mode and without a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.client import CollectedPart, CollectFn
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.training.batch_step import NoLoss, OneClientStep
from fedlit.training.collected_sums import CollectedSums
from fedlit.training.gradient import row_of, with_row_axis
from fedlit.training.job import Job
from fedlit.training.module_host import ModuleHost
from fedlit.user_module.training_step import FunctionalStep


@dataclass
class Collection:
    """The arguments of `Client.collect` beside the model."""

    function: CollectFn
    on: CollectedPart
    extras: Sequence[Tensor]
    call: int  # number of earlier calls in the round: it keys the draws

    def key(self, job: Job) -> int:
        return job.key("collect", self.call)

    def row_extras(self, r: int, k: int) -> list[Tensor]:
        """The extras of the r-th of k clients, with a leading axis of one."""
        return [with_row_axis(row_of(v, r, k)) for v in self.extras]


class RowCollect:
    """The sums of the loaded model over some samples of one client. The module is open for measurements
    (`MeasuredModule.opened`).

    A batch that training_step skips (it returns None) adds nothing if the function asks for its loss.

    Args:
        index: (n,) the samples.
        extras: those of the client.
    """

    def __init__(self, host: ModuleHost, job: Job, index: np.ndarray, collection: Collection, extras: Sequence[Tensor]):
        self.host, self.job, self.collection, self.extras = host, job, collection, extras
        self.key, self.samples = collection.key(job), host.data.samples(collection.on)
        # as where a loss is measured: without augmentation
        on, poison = collection.on, host.data.poison_of(collection.on, job.round.number)
        self.parts = host.parts(self.samples, on, [index], [job.owner(on)], "validation", poison)
        self.step = FunctionalStep(host.module, host.layout)
        self.weights = host.read().weights
        self.buffers = {n: b.detach().clone() for n, b in host.module.named_buffers()}

    def run(self) -> dict[str, Tensor]:
        """(1, ...) by name; empty where there is no batch."""
        sums = CollectedSums(1)
        for number, batch in enumerate(self.parts.batches(0, self.job.batch_size)):
            interrupts.check()
            leaf = self.weights.detach().clone().requires_grad_()
            try:
                returned = self.collection.function(self._step(number, batch), leaf, *self.extras)
            except NoLoss:
                continue
            sums.add(slice(None), returned, 1)
        return sums.totals()

    def _step(self, number: int, batch: Any) -> OneClientStep:
        subject = self.host.subject
        if subject.batch_hooks:
            with subject.step(self.key, number):
                batch = subject.received(batch)
        return OneClientStep(
            self.step,
            batch,
            number,
            RandomMode(self.key, number, keyed=True, seed=True, patches=(DOUBLE_BACKWARD,)),
            None,
            self._context,
            self.samples,
            self.buffers,
            self.weights.new_full((1, 1), self.parts.batch_length(0, number, self.job.batch_size)),
        )

    def _context(self) -> Any:
        """In which the user's step runs, where the function asks for its loss, features or outputs."""
        self.host.check_gives_loss()
        return self.host.trainer.precision_plugin.val_step_context()


def joined(rows: Sequence[dict[str, Tensor]], example: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The sums (K, ...) of clients that were asked one by one, (1, ...) each; zeros for one without a batch.

    Args:
        example: returns the sums of some batch, for the shapes where no client has one.

    Raises:
        InputError: there are none, because training_step skips that batch, too.
    """
    like = next((row for row in rows if row), None) or example()
    if not like:
        raise InputError(
            "client.collect: its function asks for the loss of a batch, and training_step returned None for each; let "
            "the step return a loss in evaluation mode."
        )
    return {n: torch.cat([row[n] if row else torch.zeros_like(v) for row in rows]) for n, v in like.items()}
