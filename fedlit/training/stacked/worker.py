"""A worker that trains chunks of clients as a stack: what its fit, its passes and the trial before a run share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import lightning.pytorch as pl

from fedlit.data.client_data import ClientData
from fedlit.evaluation.measure import Measure
from fedlit.training.base import JobData
from fedlit.training.job import Job
from fedlit.training.module_worker import ModuleTrainer, ModuleWorker

log = logging.getLogger(__name__)


@dataclass
class StackOptions(ModuleTrainer):
    """Clients of a chunk are one stack; where a module cannot be stacked, row by row, with the same numbers."""

    chunk: int | None = None  # clients trained together at most; None: 64, and fewer of a model above a million weights
    stack: Literal["auto", "always", "never"] = "auto"
    compile: str | None = None  # of a stack's step: "trace", or a mode of torch.compile (see `stacked_pass`)


@dataclass(frozen=True)
class StackPlan:
    stacked: bool
    patch_vmap: bool = False  # under what mends vmap's gaps
    per_client_facts: frozenset[str] = (
        frozenset()
    )  # facts of the trainer that the step reads and that differ between clients
    reads_batch_idx: bool = False
    reason: str | None = None  # why not stacked, where that is no choice


class StackWorker(ModuleWorker):
    """
    Args:
        way: how clients are trained.
        quiet: nothing is said, in a trial.
    """

    config: StackOptions

    def __init__(
        self,
        config: StackOptions,
        module: pl.LightningModule,
        data: JobData,
        measure: Measure,
        plan: StackPlan,
        quiet: bool,
    ):
        super().__init__(config, module, data, measure)
        self.loader = ClientData(self.data.train, self.data.transform)
        self.traces: dict[Any, Any] = {}  # by shape of a batch (see `stacked_pass.TracedPass`)
        self.said: set[str] | None = None if quiet else set()  # by `say_once`
        self.plan = plan

    def say_how(self) -> None:
        plan = self.plan
        if plan.reason:
            log.warning("trainer=vectorized trains row by row, with the same numbers: %s", plan.reason)
        if self.config.compile and not plan.stacked:
            log.warning("trainer.compile has no effect: it is for clients that are trained as a stack")
        if self.config.compile and plan.per_client_facts:
            log.warning("trainer.compile has no effect: clients differ in what the step asks its trainer")

    def say_once(self, cause: str, line: str, *values: Any) -> None:
        if self.said is not None and cause not in self.said:
            self.said.add(cause)
            log.warning(line, *values)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        """Chunks of nearly equal size; of one client where each trains by itself, for workers to share."""
        most = self.config.chunk or max(1, min(64, 64_000_000 // self.layout.size))
        count = -(-len(jobs) // most) if self.plan.stacked else len(jobs)
        edges = [round(i * len(jobs) / count) for i in range(count + 1)] if count else []
        return (slice(a, b) for a, b in pairwise(edges))
