"""Private names of Lightning that fedlit uses, each with the reason. No other file imports one.

Lightning promises nothing about these names: where a new version moves one, this file is edited.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import _configure_optimizers as configure_optimizers
from lightning.pytorch.core.optimizer import _configure_schedulers_automatic_opt as configure_schedulers
from lightning.pytorch.core.optimizer import _init_optimizers_and_lr_schedulers as init_optimizers_and_schedulers
from lightning.pytorch.loops.fit_loop import _FitLoop as FitLoop
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection as ResultCollection
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.utilities.combined_loader import CombinedLoader

__all__ = [
    "FitLoop",
    "NoSignalHandlers",
    "ResultCollection",
    "configure_optimizers",
    "configure_schedulers",
    "init_optimizers_and_schedulers",
    "show_train_loader",
    "silence",
]


class NoSignalHandlers(_SignalConnector):
    """For a Trainer whose signals are the run's.

    Lightning's own handlers, which it installs in each fit and evaluation, make SIGTERM a SystemExit with exit code 0
    at the end of a batch, and under SLURM save the fit of one client and requeue the job.
    """

    def register_signal_handlers(self) -> None:
        pass

    @classmethod
    def replace_in(cls, trainer: Trainer) -> None:
        """Replace the Trainer's connector."""
        trainer._signal_connector = cls(trainer)


# FitLoop: a Trainer is used again with a new loop, because making a Trainer costs more than training a small client.
# ResultCollection: keeps the values of `self.log`, with every form of reduction, where no Trainer runs.
# configure_optimizers, configure_schedulers: parse the return value of a module's `configure_optimizers`.
# init_optimizers_and_schedulers: as a Trainer calls it at the start of a fit.


def show_train_loader(trainer: Any, loader: Any) -> None:
    """Make a loader of one batch the `train_dataloader` of a Trainer that does not fit."""
    trainer.fit_loop._combined_loader = CombinedLoader(loader)
    trainer.fit_loop.max_batches = 1  # infinite before a fit, and a loss may be divided by it


def silence(trainer: Any, logger: Any) -> None:
    """Give a Trainer a logger that gets none of the values of `self.log`: reading them waits for the device."""
    trainer.loggers = [logger]
    trainer._logger_connector.log_metrics = _ignore


def _ignore(*args: Any, **kwargs: Any) -> None: ...
