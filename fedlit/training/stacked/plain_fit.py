"""The fit of one client as a plain loop over the user's step: the same bits as a Lightning Trainer, without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from fedlit import interrupts
from fedlit.data.client_data import ClientData
from fedlit.data.fit_data_module import with_hooks_of
from fedlit.errors import InputError
from fedlit.global_generators import has_drawn_since
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.learning_rates import ScaledRates
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.training.fit_tally import FitTally
from fedlit.training.gradient import GradientEditor, GradientOptions
from fedlit.training.module_host import ModuleHost
from fedlit.training.optimizer_state import load_optimizer_state, optimizer_state
from fedlit.training.stacked.row_log import RowLog
from fedlit.user_module.trainer_stub import TrainerStub, configured, step_schedulers
from fedlit.user_module.training_step import call_step, loss_of


class PlainFit:
    """Trains the model that is loaded into the host's module. The global generators are seeded with `key`.

    Args:
        key: of the draws in the step.
        data: the client's batches.
        kept_optimizer: the initial state of the optimiser; None: a new one.
        after_epoch: called with the epoch's mean loss.
    """

    def __init__(
        self,
        host: ModuleHost,
        options: GradientOptions,
        key: int,
        epochs: int,
        data: ClientData,
        kept_optimizer: dict[str, Any] | None = None,
        after_epoch: Callable[[float], None] | None = None,
    ):
        self.host, self.module, self.key, self.after_epoch, self.data = host, host.module, key, after_epoch, data
        self.log = RowLog(host.device)
        self.trainer = TrainerStub(epochs, self.log.log)
        self.trainer.batches, self.trainer.steps = data.count(), 0
        data.trainer = self.trainer
        self.trainer.with_data(with_hooks_of(data, host.data.users))
        self.trainer.attach(self.module)
        if is_overridden("setup", self.module):
            self.module.setup("fit")
        self.optimizer, self.schedulers = configured(self.module)
        schedulers = [config.scheduler for config in self.schedulers]
        self._rates = ScaledRates(type(self.module).__name__, [self.optimizer], schedulers, host.lr_factor)
        self.trainer.with_optimizers([self.optimizer], self.schedulers)
        host.tracked.check_setup(lambda: has_drawn_since(key))
        clips = bool(host.options.gradient_clip_val)
        self.editor = GradientEditor(options, self.module, host.layout, host.data.train, clips)
        self.tally = FitTally(self.editor.parameters, host.options.keep_optimizer_state, host.tracked.check_stepped)
        self.tally.begin([self.optimizer])
        if kept_optimizer:
            load_optimizer_state(self.optimizer, self.editor.parameters, kept_optimizer)
        self._stepped = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.batches = 0  # batches so far: the number of a batch in the fit keys its draws

    def run(self, epochs: Sequence[Callable[[], Any]]) -> None:
        """
        Args:
            epochs: for each epoch a function that returns its batches.
        """
        for epoch, batches in enumerate(epochs):
            self.trainer.current_epoch = epoch
            self.tally.begin_epoch()
            for batch_idx, batch in enumerate(batches()):
                interrupts.check()
                self.trainer.batch_idx = batch_idx
                self._step(self.host.on_device(batch), batch_idx)
                self._schedule("step", batch_idx + 1, plateau=False)
                self._schedule("step", batch_idx + 1, plateau=True)
            self._schedule("epoch", epoch + 1, plateau=False)
            self.log.end_epoch()
            self._schedule("epoch", epoch + 1, plateau=True)
            if self.after_epoch is not None:
                self.after_epoch(self.tally.epoch_loss)
        self._rates.check_end([self.optimizer], [config.scheduler for config in self.schedulers])
        if is_overridden("teardown", self.module):
            self.module.teardown("fit")

    def _step(self, batch: Any, batch_idx: int) -> None:
        """One optimiser step. As on a Trainer, the optimiser computes the gradients by calling a closure.

        Raises:
            InputError: the optimiser does not call the closure exactly once.
        """
        calls = 0

        @torch.enable_grad()
        def closure() -> Tensor | None:
            nonlocal calls
            calls += 1
            return self._gradients(batch, batch_idx) if calls == 1 else None

        self.log.begin_step(batch)
        self.optimizer.step(closure)
        if calls != 1:
            raise InputError(
                f"trainer=vectorized: {type(self.optimizer).__name__} runs the step {calls} times a batch, not once; "
                "write trainer=lightning."
            )
        self.tally.end_step([self.optimizer])
        self.editor.check_rates(self.tally.last_group_rates)
        self.editor.after_step()
        self.log.end_step()
        self.batches += 1
        self.trainer.steps = self.batches

    def _gradients(self, batch: Any, batch_idx: int) -> Tensor | None:
        context = self.host.trainer.precision_plugin.forward_context
        self.editor.before_forward()
        with context(), self._draws():
            loss = loss_of(call_step(self.module, batch, batch_idx))
        self.optimizer.zero_grad()
        if loss is not None:  # None: the user skips the batch
            self.tally.add_loss(loss)
            self._backward(loss, batch, batch_idx, context)
        self.editor.before_step(self.optimizer)
        self._clip()
        self.tally.add_step([self.optimizer])
        return loss

    def _draws(self, differentiated_twice: bool = False) -> RandomMode:
        traits, patches = self.host.traits, (DOUBLE_BACKWARD,) if differentiated_twice else ()
        return RandomMode(self.key, self.batches, traits.uses_keyed_rng, traits.uses_global_rng, patches)

    @property
    def optimizer_state(self) -> dict[str, Any]:
        return optimizer_state(self.optimizer, self.editor.parameters)

    def _backward(self, loss: Tensor, batch: Any, batch_idx: int, context: Any) -> None:
        parameters = self.editor.parameters
        if self.editor.options.gradient_fn is None:
            loss.backward()
            return
        with_gradient = self.editor.with_gradient(loss)
        draws = self._draws(differentiated_twice=True)
        examples = self.data.length(self.trainer.current_epoch, batch_idx)
        pieces = self.editor.gradient(batch, batch_idx, examples, draws, [self.optimizer], context)
        for name in with_gradient:
            parameters[name].grad = pieces[name].to(parameters[name].dtype)

    def _clip(self) -> None:
        limit = self.host.options.gradient_clip_val
        if not limit:
            return
        if self.host.options.gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self._stepped, limit)
        else:
            torch.nn.utils.clip_grad_norm_(self._stepped, limit)

    def _schedule(self, interval: str, count: int, plateau: bool) -> None:
        if self.schedulers:
            step_schedulers(self.schedulers, interval, count, plateau, self.log.values if plateau else {})
