"""A user's module while it is measured: in the same state before each part, whatever trained before.

A measurement is a function of the model, the data and keys. Therefore a step finds, at the start of each part:

- evaluation mode, and the attributes, flags and frozen parameters that the module had before the first fit;
- as `self.trainer` a Trainer that has never fitted: `current_epoch` 0, `global_step` 0, `max_epochs` and
  `num_training_batches` 1, new optimisers, the data module with one batch of a few samples;
- `self.round` 0, and as `batch_idx` the number of the batch in the part;
- draws keyed by client, split, batch and draw; the global generators seeded by client and split.

What a step changes is undone after the part. Where the fit of a client is running, it goes on as if nothing had been
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.evaluation.trial import Trial, trial_of
from fedlit.global_generators import isolated_generators, seed_everything
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.lightning_compat import init_optimizers_and_schedulers, show_train_loader
from fedlit.quiet import quiet
from fedlit.user_module.module_snapshot import ModuleSnapshot
from fedlit.user_module.tensor_state import TensorState

Value = TypeVar("Value")

_BATCH_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


class MeasuredModule:
    """
    Args:
        module: on its device, in the run's precision.
        snapshot: of the module before the first fit.
        new_trainer: makes a Trainer that has never fitted.
        example: returns a batch of a few samples, for trials of the step.
        data_for: returns the data of a trainer: that batch.
        targets_in: returns the targets of a batch.

    Attributes:
        higher_is_better: by name, of torchmetrics' metrics that `test_step` or `validation_step` has logged.
        needs_gradients: the steps are called with gradients enabled, because they take gradients themselves.
    """

    def __init__(
        self,
        module: LightningModule,
        snapshot: ModuleSnapshot,
        new_trainer: Callable[[], Trainer],
        example: Callable[[], Any],
        data_for: Callable[[Trainer], LightningDataModule],
        targets_in: Callable[[Any], Any],
    ):
        self.module, self.snapshot, self._new_trainer = module, snapshot, new_trainer
        self._example, self._targets_in, self.data_for = example, targets_in, data_for
        self.name = type(module).__name__
        self.higher_is_better: dict[str, bool] = {}
        self.needs_gradients = False
        self._has_optimizers = False
        self._is_fresh = False  # no step has run since the module was opened
        self._tensors: TensorState | None = None  # of the model that is measured, while its steps run

    @cached_property
    def trainer(self) -> Trainer:
        """A Trainer that never runs."""
        trainer = self._new_trainer()
        show_train_loader(trainer, self.data_for(trainer).train_dataloader())
        return trainer

    @cached_property
    def test_trainer(self) -> Trainer:
        """A Trainer that runs the module's `test_step` or `validation_step`, and never fits."""
        return self._new_trainer()

    @property
    def step_name(self) -> str | None:
        """The module's own step for evaluation: "test_step", else "validation_step", else None."""
        return next((n for n in ("test_step", "validation_step") if is_overridden(n, self.module)), None)

    @cached_property
    def trial(self) -> Trial:
        """Made once, before the first measurement. Worker processes make it of the same samples."""
        batch = self._example()
        with quiet(), self.opened():
            self.reset(0)
            batch = self.received(batch)
            targets = self._targets_in(batch)
            trial = trial_of(self.module, self.step_name, batch, targets, lambda: self.reset(0), self.snapshot.changed)
            trial = replace(trial, by_sample=trial.by_sample and not self.batch_hooks)
        self.needs_gradients = trial.needs_gradients
        return trial

    # --- the module's state -----------------------------------------------------------------------
    @contextmanager
    def opened(self, keeps_tensors: bool = False) -> Iterator[None]:
        """While open, the module has the state of a measurement; on exit everything is as before.

        Args:
            keeps_tensors: nothing in the block changes a parameter or a buffer.
        """
        with self.snapshot.put_aside(), isolated_generators(0):
            self._tensors = None if keeps_tensors else TensorState(self.module)
            self._set_up()
            self._is_fresh = True
            try:
                yield
            finally:
                if self._tensors is not None:
                    self._tensors.put_back()
                self._tensors = None

    def reset(self, key: int) -> None:
        """Before a part, and before a second try of it: undo what steps changed, and seed the global generators."""
        assert self._tensors is not None, "the module is not open"
        if not self._is_fresh:
            self._tensors.put_back()
            self.snapshot.restore()
            self._set_up()
        self._is_fresh = False
        seed_everything(key)

    def _set_up(self) -> None:
        self.module.eval()
        self.trainer.datamodule = self.data_for(self.trainer)  # type: ignore[attr-defined]
        self.module.trainer = self.trainer
        if not self._has_optimizers:  # for `self.optimizers()`
            self._has_optimizers = True
            # configure_optimizers may need a fit; then the step raises where it reads them
            with suppress(Exception):
                strategy = self.trainer.strategy
                strategy.optimizers, strategy.lr_scheduler_configs = init_optimizers_and_schedulers(self.module)
        self.module.log = _ignore  # type: ignore[method-assign]

    @cached_property
    def batch_hooks(self) -> list[str]:
        """The hooks of the module that a Trainer calls for each batch."""
        return [name for name in _BATCH_HOOKS if is_overridden(name, self.module)]

    def received(self, batch: Any) -> Any:
        """A batch as the module's hooks give it to the step."""
        for name in self.batch_hooks:
            device = (self.module.device,) if name == "transfer_batch_to_device" else ()
            batch = getattr(self.module, name)(batch, *device, 0)
        return batch

    # --- running steps ----------------------------------------------------------------------------
    def tried(self, key: int, run: Callable[[], Value]) -> Value:
        """The result of `run`, which runs the steps of one part. Where it raises without gradients and not with them,
        the steps need gradients, from now on.

        Args:
            key: of the part's draws.
        """
        self.reset(key)
        if self.needs_gradients:
            return run()
        try:
            return run()
        except RuntimeError as error:
            self.reset(key)
            self.needs_gradients = True
            try:
                return run()
            except Exception:
                self.needs_gradients = False
                raise error from None

    @contextmanager
    def step(self, key: int, batch_idx: int) -> Iterator[None]:
        """Around each step: keyed draws, and gradients where the step needs them."""
        with RandomMode(key, batch_idx, keyed=True, seed=False), torch.set_grad_enabled(self.needs_gradients):
            yield


def _ignore(*args: Any, **options: Any) -> None:
    """The module's `log` while its training step is measured, whose logged values are not used."""
