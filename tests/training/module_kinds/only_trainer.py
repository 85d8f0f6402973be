"""Modules that only a Trainer can train: refused before training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import optim

from tests.training.module_kinds.case import Case, Plain, loss_of, optimizer, vectors
from tests.training.module_kinds.optimizers import Twice


class ByHand(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.optimizers().zero_grad()
        self.manual_backward(loss_of(self, batch))
        self.optimizers().step()


class TwoOptimizers(ByHand):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = True

    def configure_optimizers(self) -> Any:
        first, *rest = self.parameters()
        return [optim.SGD([first], 0.1), optim.SGD(rest, 0.1)]


class WithCallbacks(Plain):
    def configure_callbacks(self) -> Any:
        return [pl.callbacks.Timer()]


def hook(name: str) -> Case:
    """`Plain` with a hook that does nothing."""
    kind = type("Hooked", (Plain,), {name: lambda self, *args, **options: None})
    return Case("refused", kind, vectors, name)


class Stopped(Plain):
    """Stops early by a metric."""

    def configure_callbacks(self) -> Any:
        return [pl.callbacks.EarlyStopping("loss"), pl.callbacks.ModelCheckpoint(monitor="loss")]


class Validated(Plain):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", loss_of(self, batch))


class OnValidation(Validated):
    def configure_optimizers(self) -> Any:
        sgd = optim.SGD(self.parameters(), lr=0.1)
        scheduler = {"scheduler": optim.lr_scheduler.ReduceLROnPlateau(sgd), "monitor": "val_loss"}
        return {"optimizer": sgd, "lr_scheduler": scheduler}


class StopsOnValidation(Validated):
    def on_validation_epoch_end(self) -> None:
        self.trainer.should_stop = bool(self.trainer.callback_metrics["val_loss"] < 0.1)


class OwnBackward(Plain):
    def backward(self, loss: torch.Tensor, *args: Any, **options: Any) -> None:
        (2 * loss).backward()


class OwnLog(Plain):
    def log(self, name: str, *args: Any, **options: Any) -> None:
        super().log(f"mine/{name}", *args, **options)


def refused(make: Any, because: str) -> Case:
    return Case("refused", make, vectors, because)


ONLY_TRAINER: dict[str, Case] = {
    "manual optimisation": refused(ByHand, "manual optimisation"),
    "two optimisers": refused(TwoOptimizers, "2 optimisers"),
    "no optimiser": refused(optimizer(lambda ps: None).make, "0 optimisers"),
    "lbfgs": refused(optimizer(lambda ps: optim.LBFGS(ps)).make, "LBFGS"),
    "an optimiser that calls the step twice": refused(optimizer(lambda ps: Twice(ps, lr=0.1)).make, "Twice"),
    "callbacks": refused(WithCallbacks, "callbacks"),
    "early stopping and checkpoints": refused(Stopped, "callbacks"),
    "plateau on a validation metric": refused(OnValidation, "ReduceLROnPlateau of OnValidation follows val_loss"),
    "a hook of validation that stops the fit": refused(StopsOnValidation, "on_validation_epoch_end .*val_loss"),
    "a log of its own": refused(OwnLog, "log of its own"),
    "a backward of its own": refused(OwnBackward, "backward"),
    **{
        f"hook {name}": hook(name)
        for name in (
            "on_train_start",
            "on_train_batch_start",
            "on_train_batch_end",
            "on_train_epoch_end",
            "on_before_zero_grad",
            "on_before_optimizer_step",
            "configure_gradient_clipping",
            "optimizer_step",
            "lr_scheduler_step",
            "on_after_batch_transfer",
        )
    },
}
