"""The `self.trainer` of a module whose step runs without a Lightning Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from fedlit.errors import InputError
from fedlit.lightning_compat import configure_optimizers, configure_schedulers
from fedlit.user_module.silent_logger import SilentLogger


class DiffersByClient(Exception):
    """A step in a stack reads a fact of its trainer that differs between clients."""


class NeedsTrainer(InputError):
    """A step reads an attribute of its trainer that only a Lightning Trainer has.

    It is no AttributeError: `hasattr` would catch that, and the step would silently take another branch than on a
    Trainer.
    """

    def __init__(self, reason: str):
        super().__init__(f"trainer=vectorized: {reason}; write trainer=lightning.")


class _Strategy:
    """The strategy that `self.optimizers()` reads."""

    def __init__(self, optimizers: list[Any]):
        self._lightning_optimizers = self.optimizers = optimizers

    def __getattr__(self, name: str) -> Any:
        raise _missing(name, prefix="strategy.")


def _missing(name: str, prefix: str = "") -> Exception:
    if name.startswith("__"):  # Python itself looks for optional special methods (copy, pickle, ...)
        return AttributeError(name)
    return NeedsTrainer(f"the step reads self.trainer.{prefix}{name}, which only a Trainer has")


class TrainerStub:
    """The facts of a fit under the names that a Trainer has for them.

    Attributes:
        epochs: of the fit; None in a stack whose clients differ in it.
        steps: optimiser steps so far; None in a stack whose clients differ in it.
        batches: batches in an epoch; None in a stack whose clients differ in it.
        facts_read: which of `steps` and `batches` the step has read. Reading a None raises DiffersByClient.
    """

    training, sanity_checking, validating, testing, predicting = True, False, False, False, False
    world_size, num_devices, num_nodes, global_rank, local_rank, node_rank = 1, 1, 1, 0, 0, 0
    is_global_zero, accumulate_grad_batches, fast_dev_run, max_steps, min_epochs = True, 1, False, -1, None
    val_dataloaders, barebones, progress_bar_callback = None, False, None

    def __init__(self, epochs: int | None, log: Callable[..., None]):
        self.epochs, self.current_epoch, self.batch_idx = epochs, 0, 0
        self.steps: int | None = None
        self.batches: int | None = None
        self.facts_read: set[str] = set()
        self.logger = SilentLogger()
        self.loggers = [self.logger]
        self.datamodule: LightningDataModule | None = None
        self.train_dataloader: Any = None
        self.callbacks: list[Any] = []
        self._log = log
        self._optimizers: list[Any] | None = None
        self._schedulers: list[Any] = []

    def attach(self, module: LightningModule) -> None:
        """Make this the module's trainer, and `log` its `self.log`."""
        module.trainer = self  # type: ignore[assignment]
        module.log = self._log  # type: ignore[method-assign]

    def with_data(self, data: LightningDataModule) -> None:
        """Set `self.trainer.datamodule` and `self.trainer.train_dataloader`."""
        data.trainer = self  # type: ignore[assignment]
        self.datamodule, self.train_dataloader = data, data.train_dataloader()

    @property
    def log_dir(self) -> str:
        return self.logger.log_dir

    def with_optimizers(self, optimizers: list[Any], schedulers: list[Any]) -> None:
        """Set the return values of `self.optimizers()` and `self.lr_schedulers()`."""
        self._optimizers, self._schedulers = optimizers, schedulers

    def _fact(self, name: str) -> int:
        self.facts_read.add(name)
        value = getattr(self, name)
        if value is None:
            raise DiffersByClient(f"the step reads the trainer's {name}")
        return int(value)

    @property
    def max_epochs(self) -> int:
        if self.epochs is None:
            raise DiffersByClient("the step reads the trainer's max_epochs")
        return self.epochs

    @property
    def global_step(self) -> int:
        return self._fact("steps")

    @property
    def num_training_batches(self) -> int:
        return self._fact("batches")

    @property
    def estimated_stepping_batches(self) -> int:
        return self._fact("batches") * max(self.max_epochs, 1)

    @property
    def is_last_batch(self) -> bool:
        return self.batch_idx == self._fact("batches") - 1

    @property
    def optimizers(self) -> list[Any]:
        if self._optimizers is None:
            raise DiffersByClient("the step reads its optimiser")
        return self._optimizers

    @property
    def lr_scheduler_configs(self) -> list[Any]:
        if self._optimizers is None:
            raise DiffersByClient("the step reads its schedulers")
        return self._schedulers

    @property
    def strategy(self) -> Any:
        return _Strategy(self.optimizers)

    @property
    def should_stop(self) -> bool:
        return False

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        raise NeedsTrainer("the step sets self.trainer.should_stop, which ends a fit on a Trainer only")

    def __getattr__(self, name: str) -> Any:
        raise _missing(name)


def configured(module: LightningModule) -> tuple[Any, list[Any]]:
    """The module's one optimiser and its schedulers, as Lightning reads `configure_optimizers`."""
    optimizers, schedulers, monitor = configure_optimizers(module.configure_optimizers())  # type: ignore[arg-type]
    (optimizer,) = optimizers
    return optimizer, configure_schedulers(schedulers, monitor)


def step_schedulers(schedulers: list[Any], interval: str, count: int, plateau: bool, metrics: dict[str, Any]) -> None:
    """Step schedulers as Lightning does after each batch (`interval` "step") and each epoch ("epoch").

    Args:
        count: batches of the epoch, or epochs, that are completed.
        plateau: step the schedulers that follow a metric (ReduceLROnPlateau); else the others.
        metrics: the logged values so far.

    Raises:
        KeyError: a scheduler follows a metric that was not logged, and is strict.
    """
    for config in schedulers:
        if config.interval != interval or config.reduce_on_plateau != plateau or count % config.frequency:
            continue
        if not plateau:
            config.scheduler.step()
        elif config.monitor in metrics:
            config.scheduler.step(metrics[config.monitor])
        elif config.strict:
            raise KeyError(f"a scheduler follows {config.monitor}, and the step logs {sorted(metrics)} only")
