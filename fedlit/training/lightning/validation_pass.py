"""The validation passes in one client's fit: their draws, and which values they log."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch

from fedlit import interrupts
from fedlit.global_generators import restore_generators, saved_generators, seed_everything
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.training.fit_wishes import logged_names
from fedlit.training.module_host import ModuleHost
from fedlit.user_module.training_step import call_evaluation_step
from fedlit.user_module.validation_step import hide_dataloader_idx


class ValidationPass:
    """Its `step` replaces the module's `validation_step`. Draws are keyed by batch, the same in each pass of a fit, and
    the global generators go on after a pass as if there had been none.

    Args:
        key: of the draws.
    """

    def __init__(self, host: ModuleHost, key: int):
        self.host, self.module, self.key = host, host.module, key
        self._own_step = host.module.validation_step
        self._generators: Any = None
        self._training_values: dict[str, Any] = {}  # as they were before the last pass
        self._names: set[str] = set()
        self._is_last = False  # no training step has run since

    def attach(self) -> None:
        """Put `step` in place of the module's, until the module is restored."""
        self.module.validation_step = self.step  # type: ignore[method-assign]
        hide_dataloader_idx(self.module)

    def step(self, batch: Any, batch_idx: int) -> Any:
        interrupts.check()
        with RandomMode(self.key, batch_idx, keyed=True, seed=False):
            return call_evaluation_step(self._own_step, self.host.formatted(batch), batch_idx)

    def begin(self, trainer: pl.Trainer) -> None:
        self._training_values = dict(trainer.callback_metrics)
        self._generators = saved_generators()
        seed_everything(self.key)

    def end(self, trainer: pl.Trainer) -> None:
        restore_generators(self._generators)
        self._names |= logged_names(trainer.fit_loop.epoch_loop.val_loop._results)
        self._is_last = True

    def note_training_step(self) -> None:
        self._is_last = False

    def training_values(self, trainer: pl.Trainer) -> dict[str, torch.Tensor]:
        """What training has logged: without the values of validation, which a Trainer writes into the same dict."""
        results = trainer.fit_loop.epoch_loop._results
        by_training = logged_names(results)
        values = {n: v for n, v in trainer.callback_metrics.items() if n not in self._names - by_training}
        if self._is_last:  # a value by step stands only until a validation step logs its name
            by_step = {entry.meta.name for entry in results.values() if not entry.meta.on_epoch}
            values |= {n: self._training_values[n] for n in by_step & self._names if n in self._training_values}
        return values
