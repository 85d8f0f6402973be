"""trainer=lightning: each client has a `Trainer.fit` of its own, with the user's hooks alive."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loops.fit_loop import _FitLoop
from torch import Tensor

from fedlit.client import Correct, Fitted, Rule
from fedlit.data.client_data import ClientData
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.modules.keyed_draws import own_generators
from fedlit.modules.measure import Measure, Totals
from fedlit.modules.pristine import counters
from fedlit.trainers.base import ChunkClient, JobData, kept_still
from fedlit.trainers.batch_order import limited
from fedlit.trainers.fit_callback import FitCallback
from fedlit.trainers.gradient import Gradient
from fedlit.trainers.job import Job, Stage
from fedlit.trainers.module_worker import ModuleTrainer, ModuleWorker, quiet

_OURS = {  # arguments of a Trainer that are not for `options`, and what to write instead
    "max_epochs": "write local_epochs",
    "min_epochs": "write local_epochs",
    "max_steps": "write local_epochs or trainer.limit_train_batches",
    "min_steps": "write local_epochs",
    "max_time": "write local_epochs or trainer.limit_train_batches",
    "accelerator": "write device or trainer.accelerator",
    "devices": "write trainer.devices",
    "num_nodes": "a client is trained on one device",
    "strategy": "a client is trained on one device",
    "precision": "write trainer.precision",
    "logger": "write logger",
    "enable_checkpointing": "write checkpoint.every",
    "gradient_clip_val": "write trainer.gradient_clip_val",
    "gradient_clip_algorithm": "write trainer.gradient_clip_algorithm",
    "accumulate_grad_batches": "write trainer.accumulate_grad_batches",
    "limit_train_batches": "write trainer.limit_train_batches",
}


@dataclass
class LightningTrainer(ModuleTrainer):
    """Arguments as in `lightning.pytorch.Trainer`, but one device: a client is trained on one."""

    accumulate_grad_batches: int = 1
    options: dict[str, Any] = field(default_factory=dict)  # any other argument of lightning.pytorch.Trainer

    def __post_init__(self) -> None:
        known = set(inspect.signature(pl.Trainer).parameters)
        for name in self.options:
            if name in _OURS:
                raise InputError(f"trainer.options.{name}: fedlit sets this itself; {_OURS[name]}.")
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean trainer.options.{close[0]}?" if close else "."
                raise InputError(f"trainer.options.{name}: lightning.Trainer has no such argument{hint}")

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> LightningWorker:
        return LightningWorker(self, module, data, measure)

    def chunks(self, jobs: Sequence[Job], weights: int) -> Iterator[slice]:
        return (slice(i, i + 1) for i in range(len(jobs)))

    def make(self, **more: Any) -> pl.Trainer:
        return super().make(**({"accumulate_grad_batches": self.accumulate_grad_batches} | self.options | more))


class LightningWorker(ModuleWorker):
    """One module object, one Trainer and one data module for all clients of a process."""

    def __init__(self, config: LightningTrainer, module: pl.LightningModule, data: JobData, measure: Measure):
        super().__init__(config, module, data, measure)
        self._callbacks = list(self.trainer.callbacks)  # type: ignore[attr-defined]
        self.loader = ClientData(self.data.train, self.data.transform)

    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> LightningClient:
        return LightningClient(self, jobs, counters, optimizers)

    def fit(self, callback: FitCallback, epochs: list[list[np.ndarray]], keys: list[int], client: int) -> None:
        """One `Trainer.fit` from what is in the module: a new fit loop in the worker's Trainer, for making a Trainer
        costs more than a small client's training."""
        trainer, module = self.trainer, self.module
        self.loader.load(epochs, client, keys)
        trainer.callbacks = [*self._callbacks, callback]  # type: ignore[attr-defined]
        trainer.fit_loop = _FitLoop(trainer, max_epochs=len(epochs))
        module.training_step = callback.training_step  # type: ignore[method-assign]
        if callback.gradient.rule is not None:
            module.backward = callback.backward  # type: ignore[method-assign]
        with quiet():
            trainer.fit(module, datamodule=self.loader)


class LightningClient(ChunkClient):
    def __init__(
        self,
        worker: LightningWorker,
        jobs: Sequence[Job],
        counters: dict[str, Tensor],
        optimizers: Sequence[dict[str, Any]],
    ):
        super().__init__(jobs, worker.layout, optimizers)
        (self.job,) = jobs
        self.worker, self.module, self.start_counters = worker, worker.module, counters
        self.after_epoch: Any = None  # called with the epoch's mean loss, where each epoch is asked for

    def fit(
        self,
        model: Model,
        epochs: int | None = None,
        correct: Correct | None = None,
        using: Sequence[Tensor] = (),
        only: Model | None = None,
        rule: Rule | None = None,
        beside: dict[str, Tensor] | None = None,
    ) -> Fitted:
        begin = time.perf_counter()
        worker, module, job, call = self.worker, self.module, self.job, self.calls
        self.calls += 1
        self.worker.load(model, self.start_counters)
        count = job.epochs if epochs is None else epochs
        batches = [job.batches(call, e, worker.has_batch_norm) for e in range(count)]
        batches = [epoch[: limited(len(epoch), worker.config.limit_train_batches)] for epoch in batches]
        skipped = len(job.train) * count - sum(len(b) for epoch in batches for b in epoch)
        if not any(batches):
            self.moved &= False
            none = self.examples.new_zeros(1, 1)
            fitted = Fitted(worker.read(), none, none, none, dict(beside or {}))
        else:
            key = job.key("step", call)
            keys = [job.key("batch", call, e) for e in range(count)]
            gradient = Gradient(correct, using, only, rule, dict(beside or {}))
            kept = self.optimizers[0].get(str(call)) if worker.config.keep_optimizer_state else None
            callback = FitCallback(
                module, worker.layout, worker.habits, gradient, key, worker.formatted, kept, self.after_epoch
            )
            if worker.gives_round:
                module.round = job.round.number  # type: ignore[assignment]
            try:
                with own_generators(key):
                    worker.fit(callback, batches, keys, job.client)
            except BaseException:
                worker.pristine.restore()  # with engine.on_failure=drop the next client gets this module
                raise
            if worker.config.keep_optimizer_state:
                self.new_optimizers[0][str(call)] = callback.optimizer_state
            self.counters = {n: c[None] for n, c in counters(module).items()}
            done = kept_still(worker.read(), model, only)
            self.moved &= callback.steps > 0
            fitted = callback.fitted(done)
            self.facts[0]["logged"] = callback.logged
        worker.pristine.restore()
        self.last = fitted.model
        facts = self.facts[0]
        facts["steps"] = facts.get("steps", 0) + int(fitted.steps)
        facts["skipped"] = facts.get("skipped", 0) + skipped
        facts["loss"] = float(fitted.loss)
        facts["seconds"] = facts.get("seconds", 0.0) + time.perf_counter() - begin
        return fitted

    def loss(self, model: Model, on: Literal["train", "validation"] = "train") -> Tensor:
        self.worker.load(model, self.start_counters)
        return self.examples.new_full((1, 1), self.worker.mean_loss(self.job, on))

    def watch_epochs(self, rows: Sequence[int]) -> None:
        lines = self.facts[0].setdefault("epochs", [])

        def after_epoch(loss: float) -> None:  # within a fit: the module's leavings are not put back yet
            tests = self.worker.data.test
            totals = self.worker.measure_loaded(tests, "test", [self.job.test], [self.job.client]).totals[0]
            lines.append({"train/loss": loss} | {f"test/{n}": s / w for n, (s, w) in totals.items()})

        self.after_epoch = after_epoch

    def measure(self, model: Model, stage: Stage, rows: Sequence[int]) -> list[Totals]:
        self.worker.load(model, self.start_counters)
        part = self.job.indices(stage)
        if not rows or not len(part):
            return [{} for _ in rows]
        found = self.worker.measure_loaded(self.worker.data.samples(stage), stage, [part], [self.job.client])
        self.worker.pristine.restore()
        return found.totals
