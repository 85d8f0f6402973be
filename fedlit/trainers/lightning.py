"""trainer=lightning: each client has a `Trainer.fit` of its own, with the user's hooks alive."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loops.fit_loop import _FitLoop
from torch import Tensor

from fedlit.client import Fitted
from fedlit.data.client_data import ClientData
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.model_vectors import Model
from fedlit.modules.measure import Measure
from fedlit.modules.pristine import counters
from fedlit.trainers.base import JobData, kept_still
from fedlit.trainers.fit_callback import FitCallback
from fedlit.trainers.gradient import Gradient
from fedlit.trainers.job import Job
from fedlit.trainers.module_client import ModuleClient
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

    def make(self, **more: Any) -> pl.Trainer:
        return super().make(**({"accumulate_grad_batches": self.accumulate_grad_batches} | self.options | more))


class LightningWorker(ModuleWorker):
    """One module object, one Trainer and one data module for all clients of a process."""

    def __init__(self, config: LightningTrainer, module: pl.LightningModule, data: JobData, measure: Measure):
        super().__init__(config, module, data, measure)
        self._callbacks = list(self.trainer.callbacks)  # type: ignore[attr-defined]
        self.loader = ClientData(self.data.train, self.data.transform)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        return (slice(i, i + 1) for i in range(len(jobs)))

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


class LightningClient(ModuleClient):
    """One client."""

    worker: LightningWorker

    def _fit(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted:
        worker, module, (job,) = self.worker, self.worker.module, self.jobs
        self._load(0, model)
        if not self.order.counts[0]:
            none = self.examples.new_zeros(1, 1)
            return Fitted(worker.read(), none, none, none, gradient.beside)
        batches, keys = self._begin(0, call, epochs)
        keeps, key = worker.config.keep_optimizer_state, job.key("step", call)
        kept = self.optimizers[0].get(str(call)) if keeps else None
        watch = partial(self._measured, 0) if self.watched else None
        callback = FitCallback(module, worker.layout, worker.habits, gradient, key, worker.formatted, kept, watch)
        try:
            with isolated_generators(key):
                worker.fit(callback, batches, keys, job.client)
            self.counters = {n: c[None] for n, c in counters(module).items()}
            done = kept_still(worker.read(), model, gradient.only)
        finally:
            worker.pristine.restore()  # also where it raised: with engine.on_failure=drop the next client gets it
        if keeps:
            self.new_optimizers[0][str(call)] = callback.optimizer_state
        self.facts[0]["logged"] = callback.logged
        return callback.fitted(done)
