"""What a module sees as `self.trainer` where its step runs without a Lightning Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule

from fedlit.errors import InputError
from fedlit.lightning_compat import configure_optimizers, configure_schedulers


class DiffersByClient(Exception):
    """A step in a stack asked for a fact of the trainer that is another one for each client."""


class NeedsTrainer(InputError):
    """A step asked its trainer for what a stand-in cannot be asked for.

    No AttributeError: `hasattr` would take it for an answer, and the step would go on without what a Trainer has.
    """

    def __init__(self, what: str):
        super().__init__(f"trainer=vectorized: {what}; write trainer=lightning.")


class _Strategy:
    """What `self.optimizers()` asks."""

    def __init__(self, optimizers: list[Any]):
        self._lightning_optimizers = self.optimizers = optimizers

    def __getattr__(self, name: str) -> Any:
        raise _missing("strategy.", name)


def _missing(what: str, name: str) -> Exception:
    if name.startswith("__"):  # Python's own questions, to which no is an answer
        return AttributeError(name)
    return NeedsTrainer(f"the step reads self.trainer.{what}{name}, which is there on a Trainer only")


class TrainerStub:
    """The facts of a fit, as a Trainer has them.

    `steps` (optimiser steps behind) and `batches` (batches in an epoch) differ between the clients of a stack. They are
    None there unless the clients of the call share them, and asking for them raises DiffersByClient.
    """

    training, sanity_checking, validating, testing, predicting = True, False, False, False, False
    world_size, num_devices, num_nodes, global_rank, local_rank, node_rank = 1, 1, 1, 0, 0, 0
    is_global_zero, accumulate_grad_batches, fast_dev_run, max_steps, min_epochs = True, 1, False, -1, None
    logger, datamodule, val_dataloaders, barebones, progress_bar_callback = None, None, None, False, None

    def __init__(self, max_epochs: int, log: Callable[..., None]):
        self.max_epochs, self.current_epoch, self.batch_idx = max_epochs, 0, 0
        self.steps: int | None = None
        self.batches: int | None = None
        self.facts_read: set[str] = set()  # which facts that differ by client were asked for
        self.loggers: list[Any] = []
        self.callbacks: list[Any] = []
        self._log = log
        self._optimizers: list[Any] | None = None
        self._schedulers: list[Any] = []

    def attach(self, module: LightningModule) -> None:
        module.trainer = self  # type: ignore[assignment]
        module.log = self._log  # type: ignore[method-assign]

    def with_optimizers(self, optimizers: list[Any], schedulers: list[Any]) -> None:
        """What `self.optimizers()` and `self.lr_schedulers()` answer."""
        self._optimizers, self._schedulers = optimizers, schedulers

    def _fact(self, name: str) -> int:
        self.facts_read.add(name)
        value = getattr(self, name)
        if value is None:
            raise DiffersByClient(f"the step reads the trainer's {name}")
        return int(value)

    @property
    def global_step(self) -> int:
        return self._fact("steps")

    @property
    def num_training_batches(self) -> int:
        return self._fact("batches")

    @property
    def estimated_stepping_batches(self) -> int:
        return self._fact("batches") * self.max_epochs

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
        raise _missing("", name)


def configured(module: LightningModule) -> tuple[Any, list[Any]]:
    """The module's one optimiser and its schedulers, as Lightning reads `configure_optimizers`."""
    optimizers, schedulers, monitor = configure_optimizers(module.configure_optimizers())  # type: ignore[arg-type]
    (optimizer,) = optimizers
    return optimizer, configure_schedulers(schedulers, monitor)


def step_schedulers(schedulers: list[Any], interval: str, done: int, plateau: bool, metrics: dict[str, Any]) -> None:
    """What Lightning does after each batch ("step") and each epoch ("epoch").

    Args:
        done: batches of the epoch, or epochs, behind.
        plateau: step those that follow a metric, or the others.
        metrics: what was logged so far.
    """
    for config in schedulers:
        if config.interval != interval or config.reduce_on_plateau != plateau or done % config.frequency:
            continue
        if not plateau:
            config.scheduler.step()
        elif config.monitor in metrics:
            config.scheduler.step(metrics[config.monitor])
        elif config.strict:
            raise KeyError(f"a scheduler follows {config.monitor}, and the step logs {sorted(metrics)} only")
