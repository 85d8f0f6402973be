"""The one module object of a worker: models are loaded into it, trained by a trainer, read from it and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from fedlit.client import CollectedPart
from fedlit.data import Samples
from fedlit.data.client_data import FirstBatch
from fedlit.data.fit_data_module import with_hooks_of
from fedlit.data.transform import Transform, chain, transformed
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure, Measured
from fedlit.evaluation.measured_module import MeasuredModule
from fedlit.evaluation.parts import Parts
from fedlit.lightning_compat import show_train_loader
from fedlit.model_vectors import Layout, Model, tree_map
from fedlit.quiet import quiet
from fedlit.round import Round
from fedlit.torch_compat import BatchNorm, pytree
from fedlit.training.job import Job, JobData, Split
from fedlit.training.lazy_layers import materialise
from fedlit.training.made_layers import make_layers
from fedlit.training.thawed import thawed_parameters, trial_epochs
from fedlit.user_module.module_snapshot import ModuleSnapshot, copied
from fedlit.user_module.probe import StepTraits, probe
from fedlit.user_module.silent_callbacks import hide_printing_callbacks
from fedlit.user_module.tracked_parameters import TrackedParameters


class HostOptions(Protocol):
    """The options of a trainer that its host reads (see `fedlit.training.trainer.Trainer`)."""

    precision: str
    memory_format: str
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    limit_train_batches: float | int | None
    keep_optimizer_state: bool

    def lightning_trainer(self, **more: Any) -> pl.Trainer:
        """A Lightning Trainer that prints nothing and writes nothing."""

    def for_trial(self, precision: str) -> HostOptions:
        """These options in another precision, on all batches and without clipping."""


class ModuleHost:
    """Serves all clients of a worker with one module.

    A Lightning Trainer knows the device and the precision. Weights, statistics and counters are loaded for each client;
    `snapshot` restores everything else.

    Args:
        thawed: the attribute, known from a host that has made the module's layers; None: make them, and find it by a
            trial.

    Attributes:
        trainer: the Lightning Trainer.
        module: the module, on the device.
        data: samples, on the device where they are kept in memory.
        traits: of the training step, as one trial of it showed them.
        layout: positions of the module's tensors in a Model.
        thawed: names of parameters that are frozen between fits and that a fit trains.
        subject: the module while it is measured.
        lr_factor: of the learning rates in the fit that runs.
        sets_round: `module.round` is the round's number during a fit; False where the module has a `round` of its own.
    """

    def __init__(
        self,
        options: HostOptions,
        module: pl.LightningModule,
        data: JobData,
        measure: Measure,
        thawed: frozenset[str] | None = None,
    ):
        self.options, self.measuring, self.lr_factor = options, measure, 1.0
        self.trainer = options.lightning_trainer()
        keep_on_device(self.trainer)
        self.device = self.trainer.strategy.root_device
        self.module = module
        self.format = torch.channels_last if options.memory_format == "channels_last" else torch.contiguous_format
        self.data = replace(data, train=data.train.to(self.device), test=data.test.to(self.device))
        self.sets_round = not hasattr(module, "round")
        if self.sets_round:
            module.round = 0  # type: ignore[assignment]
        plugin = self.trainer.precision_plugin
        if thawed is None:
            hide_printing_callbacks(module)
            make_layers(module, self._attach_trainer)
        plugin.convert_module(module)
        if thawed is None:
            materialise(module, self._attach_trainer, self._batch_on_cpu, plugin.forward_context)
        accelerator = self.trainer.strategy.accelerator
        assert accelerator is not None
        accelerator.setup_device(self.device)  # makes "cuda" in a user's step this GPU, as a Trainer's fit does
        module.to(self.device, memory_format=self.format)
        with plugin.forward_context():  # the probe runs in the run's precision
            self.traits: StepTraits = probe(module, self._first_batch(), self.sample_data)
        if thawed is None:
            trial_trainer = partial(options.lightning_trainer, max_epochs=trial_epochs(self.data))
            thawed = thawed_parameters(trial_trainer, module, self.sample_data)
        self.thawed = thawed
        self.layout = Layout(module, self.traits.last_layer, thawed)
        self.snapshot = ModuleSnapshot(module, self.layout.weights)
        self.tracked = TrackedParameters(module, self.layout, self.snapshot.structure, self.snapshot.frozen)
        self.subject = MeasuredModule(
            module,
            self.snapshot,
            self._evaluation_trainer,
            self._first_batch,
            self.sample_data,
            self.data.train.targets_in,
        )
        self.has_batch_norm = any(isinstance(m, BatchNorm) for m in module.modules())

    def _first_batch(self) -> Any:
        """A batch of up to four samples as the module gets it, for the probe."""
        index = self._first_samples()
        samples = torch.from_numpy(index)
        return self.prepared(next(iter(self.data.train.batches([index]))), samples, torch.zeros_like(samples), "train")

    def _first_samples(self) -> np.ndarray:
        return np.arange(min(4, len(self.data.train)))

    def _batch_on_cpu(self) -> Any:
        return move_data_to_device(self._first_batch(), torch.device("cpu"))

    def sample_data(self, trainer: Any) -> pl.LightningDataModule:
        """The data of a trainer outside of the fits of clients: one batch."""
        data = FirstBatch(self.data.train, self._first_samples(), self._first_batch)
        data.trainer = trainer
        return with_hooks_of(data, self.data.users)

    def _attach_trainer(self, module: pl.LightningModule) -> None:
        """Make the Trainer, with its data, the trainer of a module or of a copy, before the first fit."""
        self.trainer.datamodule = data = self.sample_data(self.trainer)  # type: ignore[attr-defined]
        self.trainer.strategy.connect(module)
        with quiet():
            show_train_loader(self.trainer, data.train_dataloader())
        module.trainer = self.trainer
        for part in module.modules():  # the module itself is moved later
            if isinstance(part, pl.LightningModule):
                part._device = self.device

    def for_trial(self, precision: str) -> ModuleHost:
        """A host of a copy of the module in another precision, on all batches and without clipping."""
        return ModuleHost(
            self.options.for_trial(precision),
            copied_for(precision, self.module),
            self.data,
            self.measuring,
            self.thawed,
        )

    def begin_fit(self, round: Round) -> None:
        """Called before each fit, and before sums without one."""
        self.lr_factor = round.lr_factor
        if self.sets_round:
            self.module.round = round.number  # type: ignore[assignment]

    # --- models in and out ----------------------------------------------------------------------
    def load(self, model: Model, counters: dict[str, Tensor]) -> None:
        """Write a model, (P,) and (S,) or with a leading axis of one, and the integer buffers into the module."""
        self.layout.write(self.module, tree_map(lambda t: t[0] if t.dim() > 1 else t, model))
        buffers = dict(self.module.named_buffers())
        for name, value in counters.items():
            buffers[name].copy_(value, non_blocking=True)

    def read(self) -> Model:
        """The module's model, (1, P) and (1, S)."""
        return tree_map(lambda t: t[None], self.layout.read(self.module))

    # --- batches ---------------------------------------------------------------------------------
    def formatted(self, batch: Any) -> Any:
        """A batch with its images in the run's memory format."""
        if self.format is torch.contiguous_format:
            return batch
        return pytree.tree_map(
            lambda t: t.contiguous(memory_format=self.format) if torch.is_tensor(t) and t.dim() == 4 else t, batch
        )

    def prepared(
        self, batch: Any, index: Tensor, clients: Tensor, split: Split, change: Transform | None = None
    ) -> Any:
        """A batch outside a fit as the module gets it: transformed for its clients, on the device, in the precision.

        Args:
            index: (B,) the samples.
            clients: (B,) the clients that they belong to.
            change: applied after the transform of the data.
        """
        transform = chain(self.data.transform, change)
        if transform is not None:
            batch = move_data_to_device(batch, self.device)
            index, clients = (t.to(self.device, non_blocking=True) for t in (index, clients))
            batch = transformed(transform, batch, index, clients, split, torch.zeros_like(index))
        return self.on_device(batch)

    def on_device(self, batch: Any, already: bool = False) -> Any:
        """A batch on the device, in the run's precision and memory format; `already`: it is on the device."""
        if not already:
            batch = move_data_to_device(batch, self.device)  # not by the Trainer, which calls the module's hooks
        return self.formatted(self.trainer.precision_plugin.convert_input(batch))

    # --- measuring -------------------------------------------------------------------------------
    def measure(
        self,
        model: Model,
        counters: dict[str, Tensor],
        samples: Samples,
        split: Split,
        parts: Sequence[np.ndarray],
        clients: Sequence[int | np.ndarray],
        confusion: int | None = None,
        change: Transform | None = None,
        metrics: bool = True,
    ) -> Measured:
        """One model (P,), (S,) with its integer buffers on several parts of a sample set.

        Args:
            clients: for each part the client of its samples, or the client of each sample; -1 for no client.
            confusion: number of classes, for a confusion matrix.
            change: of the batches, after the transform of the data.
            metrics: with `evaluation.metrics`.
        """
        self.load(model, counters)
        return self.measure_loaded(samples, split, parts, clients, confusion, change, metrics)

    def measure_loaded(
        self,
        samples: Samples,
        split: Split,
        parts: Sequence[np.ndarray],
        clients: Sequence[int | np.ndarray],
        confusion: int | None = None,
        change: Transform | None = None,
        metrics: bool = True,
    ) -> Measured:
        """As `measure`, for the model that is loaded. The fit of a client may be running."""
        with quiet(), self.trainer.precision_plugin.val_step_context():
            measuring = self.measuring if metrics else self.measuring.without_metrics()
            return measuring(self.subject, self.parts(samples, split, parts, clients, change=change), confusion)

    def parts(
        self,
        samples: Samples,
        split: Split,
        indices: Sequence[np.ndarray],
        clients: Sequence[int | np.ndarray],
        prepared_as: Split | None = None,
        change: Transform | None = None,
    ) -> Parts:
        """Parts of a sample set whose batches are prepared for the module.

        Args:
            prepared_as: the split whose transforms are used; None: `split`.
            change: see `prepared`.
        """

        def prepare(batch: Any, index: Tensor, clients_of: Tensor) -> Any:
            return self.prepared(batch, index, clients_of, prepared_as or split, change)

        return Parts.of(samples, split, indices, clients, prepare)

    def check_gives_loss(self) -> None:
        """
        Raises:
            InputError: the module's step cannot be asked for a loss outside of a fit.
        """
        if not self.module.automatic_optimization:
            raise InputError(
                f"{type(self.module).__name__} has manual optimisation: its step trains and cannot be asked for a "
                "loss, which this algorithm or sampler needs; write aggregator=fedavg sampler=uniform."
            )

    def mean_loss(self, job: Job, on: CollectedPart) -> float:
        """The mean loss of the loaded model on a client's data, in evaluation mode."""
        self.check_gives_loss()
        poison = self.data.poison_of(on, job.round.number)
        as_measured: Split = "validation"  # without augmentation
        parts = self.parts(self.data.train, on, [job.indices(on)], [job.owner(on)], as_measured, poison)
        with quiet(), self.trainer.precision_plugin.val_step_context():
            return self.measuring.mean_loss(self.subject, parts)

    def _evaluation_trainer(self) -> pl.Trainer:
        # without inference mode, because a step may take gradients itself
        trainer = self.options.lightning_trainer(limit_val_batches=1.0, inference_mode=False)
        keep_on_device(trainer)
        return trainer


def copied_for(precision: str, module: pl.LightningModule) -> pl.LightningModule:
    """A deep copy, in 64 bits if the precision is "64-true"."""
    if precision != "64-true":
        return copied(module)
    return copied(module).double()._apply(lambda t: t.to(torch.complex128) if t.is_complex() else t)


def keep_on_device(trainer: pl.Trainer) -> None:
    """Lightning moves the module to the CPU after each fit; the next client needs it on the device."""
    if trainer.strategy.root_device.type != "cpu":
        trainer.strategy.teardown = trainer.strategy.precision_plugin.teardown  # type: ignore[method-assign]
