"""trainer=lightning: each client has a `Trainer.fit` of its own, in which all hooks of the user's module run."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, ProgressBar

from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training.fit_folder import FitFolder
from fedlit.training.fit_wishes_trial import fit_wishes
from fedlit.training.job import JobData
from fedlit.training.lightning.validation import VALIDATION_OPTIONS, validates
from fedlit.training.lightning.worker import LightningWorker
from fedlit.training.module_host import ModuleHost
from fedlit.training.trainer import Trainer

_SET_BY_FEDLIT = {  # arguments of a Trainer that `options` may not hold, and what to write instead
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
class LightningTrainer(Trainer):
    """Arguments as in `lightning.pytorch.Trainer`, but one device: a client is trained on one."""

    accumulate_grad_batches: int = 1
    options: dict[str, Any] = field(default_factory=dict)  # any other argument of lightning.pytorch.Trainer

    fit_folder: FitFolder = field(default_factory=FitFolder, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = set(inspect.signature(pl.Trainer).parameters)
        for name in self.options:
            if name in _SET_BY_FEDLIT:
                raise InputError(f"trainer.options.{name}: fedlit sets this itself; {_SET_BY_FEDLIT[name]}.")
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean trainer.options.{close[0]}?" if close else "."
                raise InputError(f"trainer.options.{name}: lightning.Trainer has no such argument{hint}")
        if isinstance(self.options.get("val_check_interval"), str | dict | timedelta):
            raise InputError(
                f"trainer.options.val_check_interval={self.options['val_check_interval']}: after how many steps a "
                "duration ends depends on the machine; write a number of batches, or a fraction of an epoch."
            )
        for callback in self._callbacks:
            if isinstance(callback, ProgressBar):
                raise InputError(
                    f"trainer.options.callbacks: {type(callback).__name__} would draw a bar for each client's fit; "
                    "leave it out, and write progress=rich for one of the run."
                )

    @property
    def _callbacks(self) -> list[Any]:
        callbacks = self.options.get("callbacks") or []
        return list(callbacks) if isinstance(callbacks, Sequence) else [callbacks]

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> LightningWorker:
        host = ModuleHost(self, module, data, measure)
        wishes = fit_wishes(self.lightning_trainer, module, host.sample_data, data)
        self.fit_folder.empty()
        return LightningWorker(host, validates(self.options, wishes, host), self.fit_folder)

    def for_trial(self, precision: str) -> LightningTrainer:
        """As `Trainer.for_trial`, without the user's callbacks, which may write files. A trial has one epoch, and
        validates in it."""
        options = {
            name: value for name, value in self.options.items() if name not in ("callbacks", *VALIDATION_OPTIONS)
        }
        trial = replace(super().for_trial(precision), accumulate_grad_batches=1, options=options)
        trial.fit_folder = self.fit_folder
        return trial

    def lightning_trainer(self, **more: Any) -> pl.Trainer:
        arguments = {
            "accumulate_grad_batches": self.accumulate_grad_batches,
            "default_root_dir": self.fit_folder.path,
            "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in self._callbacks),
        } | self.options
        return super().lightning_trainer(**(arguments | more))
