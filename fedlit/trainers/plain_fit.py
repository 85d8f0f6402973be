"""One client's fit as a plain loop over the user's step: what a Trainer does, without the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.modules.keyed_draws import KeyedDraws
from fedlit.modules.stand_in import StandIn, configured, step_schedulers
from fedlit.modules.step_log import StepLog
from fedlit.modules.users_step import call_step, loss_of, samples_in
from fedlit.trainers.gradient import Gradient, GradientHand, learning_rates, mean_of

if TYPE_CHECKING:
    from fedlit.trainers.module_worker import ModuleWorker


class PlainFit:
    """Trains what is in the worker's module. The optimiser is new.

    Args:
        key: of the draws in the step.
        batches: batches in an epoch.
        after_epoch: called with the epoch's mean loss.
    """

    def __init__(
        self,
        worker: ModuleWorker,
        gradient: Gradient,
        key: int,
        epochs: int,
        batches: int,
        after_epoch: Callable[[float], None] | None = None,
    ):
        self.worker, self.module, self.key, self.after_epoch = worker, worker.module, key, after_epoch
        self.log = StepLog(1)
        self.trainer = StandIn(epochs, self.log.log)
        self.trainer.batches, self.trainer.steps = batches, 0
        self.trainer.attach(self.module)
        self.optimizer, self.schedulers = configured(self.module)
        self.trainer.with_optimizers([self.optimizer], self.schedulers)
        self.hand = GradientHand(gradient, self.module, worker.layout)
        self.moved = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.rates: list[Tensor] = []
        self.losses: list[Tensor] = []

    def run(self, epochs: Sequence[Callable[[], Any]]) -> None:
        """`epochs`: for each, what gives its batches."""
        for epoch, batches in enumerate(epochs):
            self.trainer.current_epoch = epoch
            self.log.begin_epoch()
            begin = len(self.losses)
            for batch_idx, batch in enumerate(batches()):
                interrupts.check()
                self.trainer.batch_idx = batch_idx
                self._step(self.worker.on_device(batch), batch_idx)
                self._schedule("step", batch_idx + 1, plateau=False)
                self._schedule("step", batch_idx + 1, plateau=True)
            self._schedule("epoch", epoch + 1, plateau=False)
            self._schedule("epoch", epoch + 1, plateau=True)
            if self.after_epoch is not None:
                self.after_epoch(mean_of(self.losses[begin:]))

    def _step(self, batch: Any, batch_idx: int) -> None:
        context = self.worker.trainer.precision_plugin.forward_context
        with context(), self._draws():
            loss = loss_of(call_step(self.module, batch, batch_idx))
        self.log.add(slice(None), {n: v.expand(1) for n, v in self.log.taken().items()}, samples_in(batch))
        self.optimizer.zero_grad()
        if loss is not None:  # the user's way to skip a batch
            self.losses.append(loss.detach())
            self._backward(loss, batch, batch_idx, context)
        self.rates.append(learning_rates([self.optimizer], self.hand.named))
        self.hand.before_step()
        self._clip()
        self.optimizer.step()
        self.hand.after_step()
        self.trainer.steps = len(self.rates)

    def _draws(self, twice: bool = False) -> KeyedDraws:
        habits = self.worker.habits
        return KeyedDraws(self.key, len(self.rates), habits.keyed, habits.draws, twice=twice)

    def _backward(self, loss: Tensor, batch: Any, batch_idx: int, context: Any) -> None:
        named = self.hand.named
        if self.hand.wanted.rule is None:
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
            step_schedulers(self.schedulers, interval, done, plateau, self.log.metrics(0) if plateau else {})
