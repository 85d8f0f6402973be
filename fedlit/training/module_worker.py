"""A worker with a module in its hands: what both trainers need besides how they train."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.core.optimizer import _init_optimizers_and_lr_schedulers
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.utils import _pytree as pytree

from fedlit.data import Samples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure, Measured, mean_loss
from fedlit.model_vectors import Layout, Model, tree_map
from fedlit.training.base import JobData, Trainer, Worker
from fedlit.training.job import Job, Split
from fedlit.user_module.module_snapshot import ModuleSnapshot
from fedlit.user_module.probe import StepTraits, probe

for _name in ("lightning.pytorch", "lightning.fabric"):  # no device lines and no tips, a thousand times over
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass
class ModuleTrainer(Trainer):
    """The options that mean the same for every trainer; arguments as in `lightning.pytorch.Trainer`."""

    accelerator: str = "auto"
    devices: Any = 1
    precision: str = "32-true"
    memory_format: str = "contiguous"  # or "channels_last", for weights and images
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    limit_train_batches: float | int | None = None  # of an epoch; of any fraction at least one
    keep_optimizer_state: bool = False  # from round to round, with the client; new in each round otherwise

    def make(self, **more: Any) -> pl.Trainer:
        """A Lightning Trainer that prints nothing and writes nothing."""
        arguments: dict[str, Any] = dict(  # noqa: C408  (keywords, as Lightning's own)
            accelerator=self.accelerator,
            devices=self.devices,
            precision=self.precision,
            gradient_clip_val=self.gradient_clip_val,
            gradient_clip_algorithm=self.gradient_clip_algorithm,
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
            try:
                trainer = pl.Trainer(**(arguments | more))
            except MisconfigurationException as error:
                if self.accelerator in ("auto", "cpu"):
                    raise
                raise InputError(
                    f"trainer.accelerator={self.accelerator}: torch finds no such device here; write device=cpu or "
                    f"device=auto ({' '.join(str(error).split())})"
                ) from error
        if trainer.num_devices != 1 or trainer.num_nodes != 1:
            raise InputError(
                f"trainer.devices={self.devices}: a client is trained on one device; write 1, or [2] for the third GPU"
            )
        return trainer


class ModuleWorker(Worker):
    """One module object for all clients of a process. A Lightning Trainer knows its device and precision."""

    def __init__(self, config: ModuleTrainer, module: pl.LightningModule, data: JobData, measure: Measure):
        self.config, self.measuring = config, measure
        self.trainer = config.make()
        keep_on_device(self.trainer)
        self._tester: pl.Trainer | None = None
        self.device = self.trainer.strategy.root_device
        self.module = module
        with quiet():
            module.configure_model()
        self.gives_round = not hasattr(module, "round")
        if self.gives_round:  # the round's number within a fit, for who wants it; 0 elsewhere
            module.round = 0  # type: ignore[assignment]
        plugin = self.trainer.precision_plugin
        plugin.convert_module(module)
        self.format = torch.channels_last if config.memory_format == "channels_last" else torch.contiguous_format
        accelerator = self.trainer.strategy.accelerator
        assert accelerator is not None
        accelerator.setup_device(self.device)  # "cuda" in a step is this GPU, as in a Trainer's fit
        module.to(self.device, memory_format=self.format)
        self.data = JobData(data.train.to(self.device), data.test.to(self.device), data.transform)
        with plugin.forward_context():  # module and batch in the run's precision, or the step could not be tried
            self.traits: StepTraits = probe(module, self._first_batch())
        self.layout = Layout(module, self.traits.last_layer)
        self.snapshot = ModuleSnapshot(module)
        self.has_batch_norm = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in module.modules())

    def _first_batch(self) -> Any:
        """A small batch as the module gets it, to try the module with."""
        index = np.arange(min(4, len(self.data.train)))
        at = torch.from_numpy(index)
        return self.ready(next(iter(self.data.train.batches([index]))), at, torch.zeros_like(at), "train")

    def tell_round(self, number: int) -> None:
        """Before a fit."""
        if self.gives_round:
            self.module.round = number  # type: ignore[assignment]

    def load(self, model: Model, counters: dict[str, Tensor]) -> None:
        """Put a model, (P,) and (S,) or with one leading row, and the integer buffers into the module."""
        self.layout.write(self.module, tree_map(lambda t: t[0] if t.dim() > 1 else t, model))
        buffers = dict(self.module.named_buffers())
        for name, value in counters.items():
            buffers[name].copy_(value)

    def read(self) -> Model:
        """The module's model, (1, P) and (1, S)."""
        return tree_map(lambda t: t[None], self.layout.read(self.module))

    def formatted(self, batch: Any) -> Any:
        """A batch with its images in the run's memory format."""
        if self.format is torch.contiguous_format:
            return batch
        return pytree.tree_map(
            lambda t: t.contiguous(memory_format=self.format) if torch.is_tensor(t) and t.dim() == 4 else t, batch
        )

    def measure(
        self,
        model: Model,
        samples: Samples,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        confusion: int | None = None,
    ) -> Measured:
        self.layout.write(self.module, model)
        found = self.measure_loaded(samples, "test", parts, clients, confusion)
        self.snapshot.restore()
        return found

    def measure_loaded(
        self,
        samples: Samples,
        split: Split,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        confusion: int | None = None,
    ) -> Measured:
        """Of the model that is in the module."""

        def prepare(batch: Any, index: Tensor, whose: Tensor) -> Any:
            return self.ready(batch, index, whose, split)

        self.attach()
        with quiet(), self.trainer.precision_plugin.val_step_context():
            return self.measuring(self.module, samples, parts, clients, prepare, self.tester, confusion)

    def mean_loss(self, job: Job, on: Literal["train", "validation"]) -> float:
        """Of the model that is in the module, on a client's data, in evaluation mode; the module is put back."""
        if not self.module.automatic_optimization:
            raise InputError(
                f"{type(self.module).__name__} has manual optimisation: its step trains and cannot be asked for a "
                "loss, which this algorithm or sampler needs; write aggregator=fedavg sampler=uniform."
            )

        def prepare(batch: Any, index: Tensor, whose: Tensor) -> Any:
            return self.ready(batch, index, whose, "validation")  # without the augmentation of training

        self.attach()
        size = self.measuring.batch_size
        with quiet(), self.trainer.precision_plugin.val_step_context():
            value = mean_loss(self.module, self.data.train, job.indices(on), job.client, prepare, size)
        self.snapshot.restore()
        return value

    def attach(self) -> None:
        """Before the first fit, too, a training_step may ask for `self.trainer`; `Pristine` takes it off again."""
        if self.module._trainer is not None:
            return
        self.module.trainer = self.trainer
        if not self.trainer.optimizers:  # `self.optimizers()` answers, too
            with suppress(Exception), quiet():  # a configure_optimizers that needs a fit; then the step may fail
                strategy = self.trainer.strategy
                strategy.optimizers, strategy.lr_scheduler_configs = _init_optimizers_and_lr_schedulers(self.module)

    def ready(self, batch: Any, index: Tensor, whose: Tensor, split: Split) -> Any:
        """A batch outside of a fit as the module gets it: with the clients' shift, on the device, in the precision."""
        if self.data.transform is not None:
            batch = self.trainer.strategy.batch_to_device(batch, self.device)
            index, whose = index.to(self.device), whose.to(self.device)
            batch = self.data.transform(batch, index, whose, split, torch.zeros_like(index))
        return self.on_device(batch)

    def on_device(self, batch: Any, there: bool = False) -> Any:
        """A batch on the device, in the run's precision and memory format; `there`: it is on the device already."""
        if not there:
            batch = self.trainer.strategy.batch_to_device(batch, self.device)
        return self.formatted(self.trainer.precision_plugin.convert_input(batch))

    def tester(self) -> pl.Trainer:
        """The Trainer that runs the user's test_step or validation_step."""
        if self._tester is None:
            self._tester = self.config.make(limit_val_batches=1.0)
            keep_on_device(self._tester)
        return self._tester


def keep_on_device(trainer: pl.Trainer) -> None:
    """Lightning moves the module to the CPU after each fit; the next client wants it where it is."""
    if trainer.strategy.root_device.type != "cpu":
        trainer.strategy.teardown = trainer.strategy.precision_plugin.teardown  # type: ignore[method-assign]


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's own warnings (few workers, no validation loop, ...) say nothing here; the user's do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", category=pl.utilities.rank_zero.LightningDeprecationWarning)
        yield
