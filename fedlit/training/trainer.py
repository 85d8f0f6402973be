"""The contract of `trainer=`: the options that every trainer has, and the worker that it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import lightning.pytorch as pl
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.lightning_compat import NoSignalHandlers, silence
from fedlit.quiet import quiet
from fedlit.training.job import JobData
from fedlit.training.worker import Worker
from fedlit.user_module.silent_logger import SilentLogger

Self = TypeVar("Self", bound="Trainer")


@dataclass
class Trainer(ABC):
    """Hyperparameters only, picklable. The options mean what they mean in `lightning.pytorch.Trainer`."""

    accelerator: str = "auto"
    devices: Any = 1
    precision: str = "32-true"
    memory_format: str = "contiguous"  # or "channels_last", for weights and images
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    limit_train_batches: float | int | None = None  # a number or a fraction of an epoch's batches; at least one
    keep_optimizer_state: bool = False  # each client keeps it between rounds; else each round has a new optimiser

    @abstractmethod
    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> Worker:
        """A worker that trains with this module. The caller does not use the module afterwards."""

    def for_trial(self: Self, precision: str) -> Self:
        """These options in another precision, on all batches and without clipping."""
        return replace(self, precision=precision, limit_train_batches=None, gradient_clip_val=None)

    def lightning_trainer(self, **more: Any) -> pl.Trainer:
        """A Lightning Trainer that prints nothing and writes nothing."""
        arguments: dict[str, Any] = dict(  # noqa: C408  (keywords, as in a call of Lightning's)
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
            plugins=[LightningEnvironment()],  # a client is one process, also under SLURM
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
        NoSignalHandlers.replace_in(trainer)
        if trainer.num_devices != 1 or trainer.num_nodes != 1:
            raise InputError(
                f"trainer.devices={self.devices}: a client is trained on one device; write 1, or [2] for the third GPU"
            )
        silence(trainer, SilentLogger((arguments | more).get("default_root_dir")))
        return trainer
