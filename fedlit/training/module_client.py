"""A chunk of clients over a worker's module: what both trainers do around a fit."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from fedlit.client import AdjustGradient, Fitted, GradientFn
from fedlit.evaluation.measure import Totals
from fedlit.model_vectors import Model, tree_map
from fedlit.training.base import ChunkClient
from fedlit.training.batch_plan import BatchPlan
from fedlit.training.gradient import Gradient
from fedlit.training.job import Job, Split
from fedlit.training.module_worker import ModuleWorker


class ModuleClient(ChunkClient):
    worker: ModuleWorker

    def __init__(
        self,
        worker: ModuleWorker,
        jobs: Sequence[Job],
        counters: dict[str, Tensor],
        optimizers: Sequence[dict[str, Any]],
        same_number: bool = False,
    ):
        """`same_number`: see `BatchOrder`."""
        super().__init__(jobs, worker.layout, optimizers)
        self.start_counters = counters
        self.worker = worker
        sizes = np.array([len(job.train) for job in jobs])
        most = worker.config.limit_train_batches
        self.order = BatchPlan(sizes, jobs[0].batch_size, worker.has_batch_norm, most, same_number)
        self.watched: Sequence[int] = ()  # rows that are measured after each epoch

    def fit(
        self,
        model: Model,
        epochs: int | None = None,
        adjust_gradient: AdjustGradient | None = None,
        extras: Sequence[Tensor] = (),
        trainable: Model | None = None,
        gradient_fn: GradientFn | None = None,
        carry: dict[str, Tensor] | None = None,
    ) -> Fitted:
        begin, call = time.perf_counter(), self.calls
        self.calls += 1
        count = self.jobs[0].epochs if epochs is None else epochs
        found = self._fit(
            model, Gradient(adjust_gradient, extras, trainable, gradient_fn, dict(carry or {})), call, count
        )
        self.moved &= found.steps > 0
        self.last = found.model
        seconds = (time.perf_counter() - begin) / len(self.jobs)
        skipped = count * (np.array([len(job.train) for job in self.jobs]) - self.order.seen)
        numbers = zip(self.facts, found.steps[:, 0].tolist(), found.loss[:, 0].tolist(), skipped.tolist(), strict=True)
        for facts, steps, loss, left_out in numbers:
            facts["steps"] = facts.get("steps", 0) + int(steps)
            facts["skipped"] = facts.get("skipped", 0) + left_out
            facts["loss"] = loss
            facts["seconds"] = facts.get("seconds", 0.0) + seconds
        return found

    @abstractmethod
    def _fit(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted:
        """The `call`-th fit of the round; leaves the module as it was."""

    def _load(self, r: int, model: Model) -> None:
        """Put the model of one of the clients into the module."""
        self.worker.load(tree_map(lambda t: t[r] if t.dim() > 1 and len(t) > 1 else t, model), self.start_counters)

    def _begin(self, r: int, call: int, epochs: int) -> tuple[list[list[np.ndarray]], list[int]]:
        """Before one of the clients trains by itself: its batches epoch by epoch, and the keys of their draws."""
        job = self.jobs[r]
        self.worker.tell_round(job.round.number)
        cut = [job.batches(call, e, self.worker.has_batch_norm)[: self.order.counts[r]] for e in range(epochs)]
        return cut, [job.key("batch", call, e) for e in range(epochs)]

    def watch_epochs(self, rows: Sequence[int]) -> None:
        self.watched = rows

    def _measured(self, r: int, loss: float) -> None:
        """After an epoch of one of the clients, with its model in the module."""
        job = self.jobs[r]
        totals = self.worker.measure_loaded(self.worker.data.test, "test", [job.test], [job.client]).totals[0]
        self._note_epoch(r, loss, totals)

    def _note_epoch(self, r: int, loss: float, totals: Totals) -> None:
        line = {"train/loss": loss} | {f"test/{n}": s / w for n, (s, w) in totals.items()}
        self.facts[r].setdefault("epochs", []).append(line)

    def loss(self, model: Model, on: Literal["train", "validation"] = "train") -> Tensor:
        found = []
        for r, job in enumerate(self.jobs):
            self._load(r, model)
            found.append(self.worker.mean_loss(job, on))
        return self.examples.new_tensor(found)[:, None]

    def measure(self, model: Model, split: Split, rows: Sequence[int]) -> list[Totals]:
        parts = [self.jobs[r].indices(split) for r in rows]
        clients = [self.jobs[r].client for r in rows]
        if not any(len(part) for part in parts):
            return [{} for _ in rows]
        samples = self.worker.data.samples(split)
        alike = model.weights.dim() == 1 or (len(self.jobs) > 1 and model.weights.stride(0) == 0)
        found: list[Totals] = []
        for group in [range(len(parts))] if alike else [range(i, i + 1) for i in range(len(parts))]:
            self._load(rows[group[0]], model)  # one model on many clients' data is one pass
            some = [parts[i] for i in group], [clients[i] for i in group]
            found += self.worker.measure_loaded(samples, split, *some).totals
        self.worker.snapshot.restore()
        return found
