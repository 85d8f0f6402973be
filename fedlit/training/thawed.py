"""Which frozen parameters a fit trains: a trial before the run, for modules with frozen parameters only.

A layer that is frozen in `__init__` may be unfrozen in any hook, by a callback, in configure_optimizers or in the step.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np

from fedlit.data.client_data import ClientData
from fedlit.global_generators import isolated_generators
from fedlit.training.job import JobData
from fedlit.training.quiet import quiet
from fedlit.user_module.module_snapshot import copied

log = logging.getLogger(__name__)

_EPOCHS = 12  # at most; Lightning's BackboneFinetuning unfreezes in the eleventh


def thawed_parameters(
    make_trainer: Callable[[], pl.Trainer], module: pl.LightningModule, data: JobData
) -> frozenset[str]:
    """Names of the parameters that are frozen now and that an optimiser steps in a fit of a copy of `module`.

    The trial has the epochs of a fit, `_EPOCHS` at most, each of one batch of up to four samples. A fit in which a
    parameter is unfrozen later is refused (`user_module.tracked_parameters`).

    Args:
        make_trainer: makes a Trainer for `trial_epochs` epochs.
    """
    if all(p.requires_grad for p in module.parameters()):
        return frozenset()
    try:
        with warnings.catch_warnings(), isolated_generators(0), quiet():
            warnings.simplefilter("ignore")
            trainer, trial = make_trainer(), copied(module)
            watch = _Watch(trial)
            trainer.callbacks = [*copy.deepcopy(trainer.callbacks), watch]  # type: ignore[attr-defined]
            loader = ClientData(data.train, data.transform)
            epochs = trial_epochs(data)
            loader.load([[np.arange(min(4, len(data.train)))]] * epochs, 0, range(epochs))
            trainer.fit(trial, datamodule=loader)
    except Exception as error:  # each fit of the run is checked, too
        log.info("%s: a fit of it cannot be tried before the run", type(module).__name__, exc_info=error)
        return frozenset()
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
