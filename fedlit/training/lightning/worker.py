"""One client at a time, through a Lightning Trainer that all clients of the worker share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from fedlit.client import Fitted
from fedlit.data.client_data import ClientData, ShardPass
from fedlit.data.fit_data_module import with_hooks_of
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.lightning_compat import FitLoop
from fedlit.model_vectors import Model
from fedlit.plurals import counted
from fedlit.quiet import quiet
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.fit_folder import FitFolder
from fedlit.training.fit_plan import FitPlan
from fedlit.training.gradient import GradientOptions, with_frozen_statistics
from fedlit.training.job import Job
from fedlit.training.lightning.fit_callback import FitCallback
from fedlit.training.lightning.validation_pass import ValidationPass
from fedlit.training.module_host import ModuleHost
from fedlit.training.trainer_state import TrainerState
from fedlit.training.worker import Worker
from fedlit.user_module.module_snapshot import counters


class LightningWorker(Worker):
    """
    Args:
        validates: clients have validation passes in their fits.
        folder: into which a fit writes.
    """

    def __init__(self, host: ModuleHost, validates: bool, folder: FitFolder):
        super().__init__(host)
        self.validates, self._folder = validates, folder
        host.trainer.limit_val_batches = (host.trainer.limit_val_batches or 1.0) if validates else 0
        self._initial = TrainerState(host.trainer)
        self.loader = ClientData(host.data.train, host.data.transform)
        self.loader.trainer = host.trainer

    def for_trial(self, precision: str) -> LightningWorker:
        return LightningWorker(self.host.for_trial(precision), self.validates, self._folder)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        return (slice(i, i + 1) for i in range(len(jobs)))

    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> LightningClient:
        return LightningClient(self, jobs, counters, optimizers)

    def fit(
        self,
        callback: FitCallback,
        epochs: list[list[ShardPass]],
        job: Job,
    ) -> None:
        """One `Trainer.fit` of the loaded model.

        The Trainer gets a new fit loop, because making a Trainer costs more than training a small client.

        Args:
            epochs: the client's batches, epoch by epoch.
        """
        trainer, module = self.host.trainer, self.host.module
        poison = self.host.data.poison_of("train", job.round.number)
        self.loader.load(epochs, job.client, job.validation_batches(), job.train, job.batch_size, poison)
        self._initial.restore()
        self._folder.empty()
        trainer.callbacks.append(callback)  # type: ignore[attr-defined]
        trainer.fit_loop = FitLoop(trainer, max_epochs=len(epochs))
        module.training_step = callback.training_step  # type: ignore[method-assign]
        if callback.options.gradient_fn is not None:
            module.backward = callback.backward  # type: ignore[method-assign]
        if callback.validation is not None:
            callback.validation.attach()
        try:
            with quiet():
                trainer.fit(module, datamodule=with_hooks_of(self.loader, self.host.data.users))
        finally:
            self._folder.empty()

    def check_validation(self, job: Job, training_batches: int) -> None:
        """
        Args:
            training_batches: in an epoch.

        Raises:
            InputError: a client has no samples for a validation pass, or an epoch has too few batches.
        """
        interval = self.host.trainer.val_check_interval
        client = "the server" if job.client < 0 else f"client {job.client}"
        if not len(job.validation):
            raise InputError(
                f"{client} has no validation samples, and each fit of {type(self.host.module).__name__} validates; "
                "leave out what follows a validation metric."
            )
        by_epoch = self.host.trainer.check_val_every_n_epoch is not None
        if by_epoch and isinstance(interval, int) and interval > training_batches:
            raise InputError(
                f"trainer.options.val_check_interval={interval}: {client} has "
                f"{counted(training_batches, 'batch', 'batches')} in an epoch; "
                "write trainer.options.check_val_every_n_epoch=null, which counts batches over epochs, or a smaller "
                "number."
            )


class LightningClient(ChunkClient):
    """One client: K is 1."""

    def __init__(
        self,
        worker: LightningWorker,
        jobs: Sequence[Job],
        counters: dict[str, Tensor],
        optimizers: Sequence[dict[str, Any]],
    ):
        super().__init__(worker.host, jobs, counters, optimizers)
        self.worker = worker

    def _fit(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted:
        host, module, (job,) = self.host, self.host.module, self.jobs
        self._load(0, model)
        host.begin_fit(job.round)
        keeps, key = host.options.keep_optimizer_state, job.key("step", plan.call)
        kept_optimizer = self.optimizers[0].get(str(plan.call)) if keeps else None
        after_epoch = partial(self._measure_epoch, 0) if self.watched else None
        passes = None
        if self.worker.validates:
            self.worker.check_validation(job, int(plan.counts[0]))
            passes = ValidationPass(host, job.key("validation", plan.call))
        callback = FitCallback(host, gradient, self.worker.loader, key, kept_optimizer, after_epoch, passes)
        try:
            with isolated_generators(key):
                self.worker.fit(callback, plan.of_client(0), job)
            host.tracked.check()
            self.counters = {n: c[None] for n, c in counters(module).items()}
            trained = with_frozen_statistics(host.read(), model, gradient.trainable)
        finally:
            host.snapshot.restore()  # also after an error: with engine.on_failure=drop the next client uses the module
        if keeps:
            self.new_optimizers[0][str(plan.call)] = callback.optimizer_state
        self.facts[0]["logged"] = callback.logged
        self.epochs_run = np.minimum(plan.epochs, callback.tally.epochs)
        return callback.tally.fitted(trained, callback.editor.carry)
