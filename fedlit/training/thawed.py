"""Which frozen parameters a fit trains: a trial before the run, for modules with frozen parameters only.

A layer that is frozen in `__init__` may be unfrozen in any hook, by a callback, in configure_optimizers or in the step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

from fedlit.global_generators import isolated_generators
from fedlit.quiet import silent
from fedlit.training.job import JobData
from fedlit.training.trainer_state import TrainerState
from fedlit.user_module.module_snapshot import copied

log = logging.getLogger(__name__)

_EPOCHS = 12  # at most; Lightning's BackboneFinetuning unfreezes in the eleventh


def thawed_parameters(
    make_trainer: Callable[[], pl.Trainer],
    module: pl.LightningModule,
    data_for: Callable[[pl.Trainer], pl.LightningDataModule],
) -> frozenset[str]:
    """Names of the parameters that are frozen now and that an optimiser steps in a fit of a copy of `module`.

    The trial has the epochs of a fit, `_EPOCHS` at most, each of one batch. It ends when all parameters are unfrozen. A
    fit in which a parameter is unfrozen later is refused (`user_module.tracked_parameters`).

    Args:
        make_trainer: makes a Trainer for `trial_epochs` epochs.
        data_for: returns data whose epochs are one batch.
    """
    if all(p.requires_grad for p in module.parameters()):
        return frozenset()
    try:
        trainer, trial = make_trainer(), copied(module)
    except Exception as error:  # each fit of the run is checked, too
        log.info("%s cannot be copied for a trial", type(module).__name__, exc_info=error)
        return frozenset()
    initial, watch = TrainerState(trainer), _Watch(trial)
    trainer.callbacks.append(watch)  # type: ignore[attr-defined]
    try:
        with silent(), isolated_generators(0):
            trainer.fit(trial, datamodule=data_for(trainer))
    except Exception as error:
        log.info("%s: a fit of it cannot be tried before the run", type(module).__name__, exc_info=error)
    finally:
        initial.restore()
    return frozenset(watch.thawed)


def trial_epochs(data: JobData) -> int:
    return min(data.epochs, _EPOCHS)


class _Watch(pl.Callback):
    def __init__(self, module: pl.LightningModule):
        self._frozen = {id(p): n for n, p in module.named_parameters() if not p.requires_grad}
        self.thawed: set[str] = set()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        for group in optimizer.param_groups:
            self.thawed |= {
                self._frozen[id(p)] for p in group["params"] if p.grad is not None and id(p) in self._frozen
            }
        trainer.should_stop = trainer.should_stop or len(self.thawed) == len(self._frozen)
