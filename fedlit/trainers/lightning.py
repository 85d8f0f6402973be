"""trainer=lightning: each client has a `Trainer.fit` of its own, with the user's hooks alive."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.core.optimizer import _init_optimizers_and_lr_schedulers
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor

from fedlit.client import Correct, Fitted, Rule
from fedlit.data import Samples
from fedlit.data.client_data import ClientData
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model, each
from fedlit.modules.keyed_draws import own_generators
from fedlit.modules.measure import Measure, Measured, Totals, mean_loss
from fedlit.modules.pristine import Pristine, counters
from fedlit.modules.probe import Habits, probe
from fedlit.trainers.base import ChunkClient, JobData, Trainer, Worker
from fedlit.trainers.fit_callback import FitCallback, Gradient
from fedlit.trainers.job import Job, Stage

for _name in ("lightning.pytorch", "lightning.fabric"):  # no device lines and no tips, a thousand times over
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass
class LightningTrainer(Trainer):
    """Arguments as in `lightning.pytorch.Trainer`, but one device: a client is trained on one."""

    accelerator: str = "auto"
    devices: Any = 1
    precision: str = "32-true"
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    accumulate_grad_batches: int = 1
    limit_train_batches: float | int | None = None
    keep_optimizer_state: bool = False  # from round to round, with the client; new in each round otherwise
    options: dict[str, Any] = field(default_factory=dict)  # any other argument of lightning.pytorch.Trainer

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> LightningWorker:
        return LightningWorker(self, module, data, measure)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        return (slice(i, i + 1) for i in range(len(jobs)))

    def make(self, **more: Any) -> pl.Trainer:
        """A Trainer that prints nothing and writes nothing."""
        arguments: dict[str, Any] = dict(  # noqa: C408  (keywords, as Lightning's own)
            accelerator=self.accelerator,
            devices=self.devices,
            precision=self.precision,
            gradient_clip_val=self.gradient_clip_val,
            gradient_clip_algorithm=self.gradient_clip_algorithm,
            accumulate_grad_batches=self.accumulate_grad_batches,
            limit_train_batches=self.limit_train_batches,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_autolog_hparams=False,
            plugins=[LightningEnvironment()],  # under SLURM too a client is one process
            max_epochs=1,
        )
        with quiet():
            trainer = pl.Trainer(**(arguments | self.options | more))
        if trainer.num_devices != 1 or trainer.num_nodes != 1:
            raise InputError(
                f"trainer.devices={self.devices}: a client is trained on one device; write 1, or [2] for the third GPU"
            )
        return trainer


class LightningWorker(Worker):
    """One module object, one Trainer and one data module for all clients of a process."""

    def __init__(self, config: LightningTrainer, module: pl.LightningModule, data: JobData, measure: Measure):
        self.config, self.measuring = config, measure
        self.trainer = config.make()
        self._keep_on_device(self.trainer)
        self._callbacks = list(self.trainer.callbacks)  # type: ignore[attr-defined]
        self._tester: pl.Trainer | None = None
        self.device = self.trainer.strategy.root_device
        self.module = module
        with quiet():
            module.configure_model()
        plugin = self.trainer.precision_plugin
        plugin.convert_module(module)
        with plugin.forward_context():  # module and batch in the run's precision, or the step could not be tried
            self.habits: Habits = probe(module, plugin.convert_input(_first_batch(data)))
        module.to(self.device)
        self.layout = Layout(module, self.habits.last_layer)
        self.data = JobData(data.train.to(self.device), data.test.to(self.device), data.transform)
        self.loader = ClientData(self.data.train, self.data.transform)
        self.pristine = Pristine(module)
        self.has_batch_norm = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in module.modules())

    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> LightningClient:
        return LightningClient(self, jobs, counters, optimizers)

    def measure(
        self,
        model: Model,
        samples: Samples,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        confusion: int | None = None,
    ) -> Measured:
        self.layout.write(self.module, model)
        found = self.measure_loaded(self.module, samples, "test", parts, clients, confusion)
        self.pristine.restore()
        return found

    def measure_loaded(
        self,
        module: pl.LightningModule,
        samples: Samples,
        stage: Stage,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        confusion: int | None = None,
    ) -> Measured:
        """Of the model that is in the module."""

        def prepare(batch: Any, index: Tensor, whose: Tensor) -> Any:
            return self.ready(batch, index, whose, stage)

        self.attach()
        with quiet(), self.trainer.precision_plugin.val_step_context():
            return self.measuring(module, samples, parts, clients, prepare, self.tester, confusion)

    def attach(self) -> None:
        """Before the first fit, too, a training_step may ask for `self.trainer`; `Pristine` takes it off again."""
        if self.module._trainer is None:
            self.module.trainer = self.trainer
            if not self.trainer.optimizers:  # `self.optimizers()` answers, too
                with suppress(Exception), quiet():  # a configure_optimizers that needs a fit; then the step may fail
                    strategy = self.trainer.strategy
                    strategy.optimizers, strategy.lr_scheduler_configs = _init_optimizers_and_lr_schedulers(self.module)

    def ready(self, batch: Any, index: Tensor, whose: Tensor, stage: Stage) -> Any:
        """A batch of evaluation as the module gets it: with the clients' shift, on the device, in the precision."""
        if self.data.transform is not None:
            nothing = torch.zeros_like(index)
            batch = self.data.transform(batch, index, whose, stage, nothing)
        batch = self.trainer.strategy.batch_to_device(batch, self.device)
        return self.trainer.precision_plugin.convert_input(batch)

    def tester(self) -> pl.Trainer:
        """The Trainer that runs the user's test_step or validation_step."""
        if self._tester is None:
            self._tester = self.config.make(limit_val_batches=1.0)
            self._keep_on_device(self._tester)
        return self._tester

    @staticmethod
    def _keep_on_device(trainer: pl.Trainer) -> None:
        """Lightning moves the module to the CPU after each fit; the next client wants it where it is."""
        if trainer.strategy.root_device.type != "cpu":
            trainer.strategy.teardown = trainer.strategy.precision_plugin.teardown  # type: ignore[method-assign]

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
        self._load(model)
        count = job.epochs if epochs is None else epochs
        batches = [job.batches(call, e, worker.has_batch_norm) for e in range(count)]
        skipped = len(job.train) * count - sum(len(b) for epoch in batches for b in epoch)
        if not any(batches):
            self.moved &= False
            none = self.examples.new_zeros(1, 1)
            fitted = Fitted(self._read(), none, none, none, dict(beside or {}))
        else:
            key = job.key("step", call)
            keys = [job.key("batch", call, e) for e in range(count)]
            gradient = Gradient(correct, using, only, rule, dict(beside or {}))
            kept = self.optimizers[0].get(str(call)) if worker.config.keep_optimizer_state else None
            callback = FitCallback(module, worker.layout, worker.habits, gradient, key, kept, self.after_epoch)
            if not hasattr(module, "round"):
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
            done = self._read()
            if only is not None:
                done = Model(done.weights, torch.where(only.statistics, done.statistics, model.statistics))
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
        if not self.module.automatic_optimization:
            raise InputError(
                f"{type(self.module).__name__} has manual optimisation: its step trains and cannot be asked for a "
                "loss, which this algorithm or sampler needs; write aggregator=fedavg sampler=uniform."
            )
        self._load(model)

        def prepare(batch: Any, index: Tensor, whose: Tensor) -> Any:
            return self.worker.ready(batch, index, whose, "validation")  # without the augmentation of training

        samples, part = self.worker.data.train, self.job.indices(on)
        self.worker.attach()
        with quiet(), self.worker.trainer.precision_plugin.val_step_context():
            size = self.worker.measuring.batch_size
            value = mean_loss(self.module, samples, part, self.job.client, prepare, size)
        self.worker.pristine.restore()
        return self.examples.new_full((1, 1), value)

    def watch_epochs(self) -> None:
        rows = self.facts[0].setdefault("epochs", [])

        def after_epoch(loss: float) -> None:  # within a fit: the module's leavings are not put back yet
            module, samples = self.module, self.worker.data.test
            totals = self.worker.measure_loaded(module, samples, "test", [self.job.test], [self.job.client]).totals[0]
            rows.append({"train/loss": loss} | {f"test/{n}": s / w for n, (s, w) in totals.items()})

        self.after_epoch = after_epoch

    def measure(self, model: Model, stage: Stage) -> list[Totals]:
        self._load(model)
        part = self.job.indices(stage)
        if not len(part):
            return [{}]
        found = self.worker.measure_loaded(
            self.module, self.worker.data.samples(stage), stage, [part], [self.job.client]
        )
        self.worker.pristine.restore()
        return found.totals

    def _load(self, model: Model) -> None:
        row = each(lambda t: t[0] if t.dim() > 1 else t, model)
        self.worker.layout.write(self.module, row)
        buffers = dict(self.module.named_buffers())
        for name, value in self.start_counters.items():
            buffers[name].copy_(value)

    def _read(self) -> Model:
        return each(lambda t: t[None], self.worker.layout.read(self.module))


def _first_batch(data: JobData) -> Any:
    """A small batch as the module gets it, to try the module with."""
    index = np.arange(min(4, len(data.train)))
    batch = next(iter(data.train.batches([index])))
    if data.transform is None:
        return batch
    at = torch.from_numpy(index)
    return data.transform(batch, at, torch.zeros_like(at), "train", torch.zeros_like(at))


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's own warnings (few workers, no validation loop, ...) say nothing here; the user's do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", category=pl.utilities.rank_zero.LightningDeprecationWarning)
        yield
