"""trainer=vectorized: many clients as one stacked computation, through the user's own training_step and optimiser."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import lightning.pytorch as pl

from fedlit.evaluation.measure import Measure
from fedlit.training.job import JobData
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.refusals import refuse, refuse_optimizers, refuse_validation
from fedlit.training.stacked.stackability import choose_plan
from fedlit.training.stacked.worker import StackedWorker
from fedlit.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass
class VectorizedTrainer(Trainer):
    """The clients of a chunk are one stack. Clients of a module that cannot be stacked are trained one by one, with the
    same numbers."""

    chunk: int | None = None  # clients trained together at most; None: 64, and fewer of a model above a million weights
    stack: Literal["auto", "always", "never"] = "auto"
    compile: str | None = None  # the step of a stack: "trace", or a mode of torch.compile (see `stacked_pass`)

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> StackedWorker:
        refuse(self.precision, module)
        host = ModuleHost(self, module, data, measure)
        refuse_validation(self, host)
        refuse_optimizers(module, host.sample_data)  # again: layers made in the host may bring their optimisers
        plan = choose_plan(self, host, self.stack, self.compile)
        if plan.reason:
            log.warning("trainer=vectorized trains clients one by one, with the same numbers: %s", plan.reason)
        if self.compile and not plan.stacked:
            log.warning("trainer.compile has no effect: it is for clients that are trained as a stack")
        if self.compile and plan.per_client_facts:
            log.warning("trainer.compile has no effect: the step reads facts of its trainer that differ by client")
        return StackedWorker(host, plan, self.chunk, self.compile)
