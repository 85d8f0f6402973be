"""One client's fit as a plain loop over the user's step: what a Trainer does, without the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.training.fit_tally import FitTally
from fedlit.training.gradient import Gradient, GradientEditor, learning_rates
from fedlit.training.lightning.fit_callback import get_state, put_state
from fedlit.training.stacked.row_log import RowLog
from fedlit.user_module.trainer_stub import TrainerStub, configured, step_schedulers
from fedlit.user_module.training_step import call_step, loss_of

if TYPE_CHECKING:
    from fedlit.training.module_worker import ModuleWorker


class PlainFit:
    """Trains what is in the worker's module.

    Args:
        key: of the draws in the step.
        batches: batches in an epoch.
        kept_optimizer: the state that the optimiser begins with; None: a new one's.
        after_epoch: called with the epoch's mean loss.
    """

    def __init__(
        self,
        worker: ModuleWorker,
        gradient: Gradient,
        key: int,
        epochs: int,
        batches: int,
        kept_optimizer: dict[str, Any] | None = None,
        after_epoch: Callable[[float], None] | None = None,
    ):
        self.worker, self.module, self.key, self.after_epoch = worker, worker.module, key, after_epoch
        self.log = RowLog(worker.device)
        self.trainer = TrainerStub(epochs, self.log.log)
        self.trainer.batches, self.trainer.steps = batches, 0
        self.trainer.attach(self.module)
        self.optimizer, self.schedulers = configured(self.module)
        self.trainer.with_optimizers([self.optimizer], self.schedulers)
        self.hand = GradientEditor(gradient, self.module, worker.layout)
        if kept_optimizer:
            put_state(self.optimizer, self.hand.named, kept_optimizer)
        self.moved = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.tally = FitTally(self.hand.named)

    def run(self, epochs: Sequence[Callable[[], Any]]) -> None:
        """`epochs`: for each, what gives its batches."""
        for epoch, batches in enumerate(epochs):
            self.trainer.current_epoch = epoch
            self.tally.begin_epoch()
            for batch_idx, batch in enumerate(batches()):
                interrupts.check()
                self.trainer.batch_idx = batch_idx
                self._step(self.worker.on_device(batch), batch_idx)
                self._schedule("step", batch_idx + 1, plateau=False)
                self._schedule("step", batch_idx + 1, plateau=True)
            self._schedule("epoch", epoch + 1, plateau=False)
            self.log.end_epoch()
            self._schedule("epoch", epoch + 1, plateau=True)
            if self.after_epoch is not None:
                self.after_epoch(self.tally.epoch_loss)

    def _step(self, batch: Any, batch_idx: int) -> None:
        """The optimiser calls back for the gradients, as on a Trainer; once."""
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
        self.hand.after_step()
        self.log.end_step()
        self.trainer.steps = self.tally.steps

    def _gradients(self, batch: Any, batch_idx: int) -> Tensor | None:
        context = self.worker.trainer.precision_plugin.forward_context
        with context(), self._draws():
            loss = loss_of(call_step(self.module, batch, batch_idx))
        self.optimizer.zero_grad()
        if loss is not None:  # the user's way to skip a batch
            self.tally.add_loss(loss)
            self._backward(loss, batch, batch_idx, context)
        self.tally.add_step([self.optimizer])
        self.hand.before_step()
        self._clip()
        return loss

    def _draws(self, twice: bool = False) -> RandomMode:
        traits = self.worker.traits
        return RandomMode(self.key, self.tally.steps, traits.uses_keyed_rng, traits.uses_global_rng, twice=twice)

    @property
    def optimizer_state(self) -> dict[str, Any]:
        return get_state(self.optimizer, self.hand.named)

    def _backward(self, loss: Tensor, batch: Any, batch_idx: int, context: Any) -> None:
        named = self.hand.named
        if self.hand.wanted.gradient_fn is None:
            loss.backward()
            return
        touched = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        rates = learning_rates([self.optimizer], named)[None]
        pieces = self.hand.by_rule(batch, batch_idx, self._draws(twice=True), rates, context)
        for (name, p), plain in zip(named.items(), touched, strict=True):
            p.grad = None if plain is None else pieces[name].to(p.dtype)

    def _clip(self) -> None:
        value = self.worker.config.gradient_clip_val
        if not value:
            return
        if self.worker.config.gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.moved, value)
        else:
            torch.nn.utils.clip_grad_norm_(self.moved, value)

    def _schedule(self, interval: str, done: int, plateau: bool) -> None:
        if self.schedulers:
            step_schedulers(self.schedulers, interval, done, plateau, self.log.values if plateau else {})
