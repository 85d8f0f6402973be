"""trainer=lightning: each client has a `Trainer.fit` of its own, in which all hooks of the user's module run."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import lightning.pytorch as pl

from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training.job import JobData
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

    def __post_init__(self) -> None:
        known = set(inspect.signature(pl.Trainer).parameters)
        for name in self.options:
            if name in _SET_BY_FEDLIT:
                raise InputError(f"trainer.options.{name}: fedlit sets this itself; {_SET_BY_FEDLIT[name]}.")
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean trainer.options.{close[0]}?" if close else "."
                raise InputError(f"trainer.options.{name}: lightning.Trainer has no such argument{hint}")

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> LightningWorker:
        return LightningWorker(ModuleHost(self, module, data, measure))

    def for_trial(self, precision: str) -> LightningTrainer:
        """As `Trainer.for_trial`, without the user's callbacks: they may write files."""
        options = {name: value for name, value in self.options.items() if name != "callbacks"}
        return replace(super().for_trial(precision), accumulate_grad_batches=1, options=options)

    def lightning_trainer(self, **more: Any) -> pl.Trainer:
        arguments = {"accumulate_grad_batches": self.accumulate_grad_batches} | self.options
        return super().lightning_trainer(**(arguments | more))
