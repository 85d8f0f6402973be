"""The fit of a stack of clients: their steps go through the user's step together, a batch of some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fedlit import interrupts
from fedlit.model_vectors import Model
from fedlit.training.batch_plan import BatchPlan, StackBatch
from fedlit.training.gradient import BatchStep, Gradient, as_wide, learning_rates
from fedlit.training.job import SampleOrder
from fedlit.training.stacked.stacked_optimizer import Rows, Runs, stacked_optimizer, there
from fedlit.training.stacked.stacked_pass import PassInputs, StackedPass, TracedPass
from fedlit.training.stacked.step_log import StepLog
from fedlit.training.stacked.worker import StackWorker
from fedlit.user_module.trainer_stub import DiffersByClient, TrainerStub, configured, step_schedulers
from fedlit.user_module.training_step import samples_in

_FEW_SIZES = 16  # full batches of at most so many: each size of the smaller, last ones takes most of a second to trace


class StackedStep(BatchStep):
    """Of some rows of a stack."""

    axis = 1

    def __init__(self, fit: StackedFit, rows: Rows, batch: Any, batch_idx: int, buffers: dict[str, Tensor], lr: Tensor):
        super().__init__(batch, batch_idx, lr)
        self.fit, self.rows, self.buffers = fit, rows, buffers

    def _at(self, what: str, weights: Tensor, batch: Any) -> Tensor:
        fit = self.fit
        spare = {n: b.clone() for n, b in self.buffers.items()}
        pieces = fit.layout.pieces(weights)
        value, _, _ = fit.passes.call(what, pieces, spare, batch, self.batch_idx, *fit.draws(self.rows), twice=True)
        fit.log.now.clear()
        return value


class StackedFit:
    """K clients from `model` on, (K, P) and (K, S), longest shard first.

    Args:
        order: their batches.
        keys: (K,) of the draws in the step; None where it draws nothing.
        epochs: local epochs.
    """

    def __init__(
        self,
        worker: StackWorker,
        model: Model,
        counters: dict[str, Tensor],
        gradient: Gradient,
        order: BatchPlan,
        keys: Tensor | None,
        epochs: int,
    ):
        k = len(order.counts)
        self.worker, self.layout, self.gradient, self.order, self.keys = worker, worker.layout, gradient, order, keys
        self.weights = model.weights.expand(k, -1).clone()
        statistics = self.layout.pieces(model.statistics.expand(k, -1), self.layout.statistics)
        every = statistics | {
            n: counters[n].to(self.weights.device).expand(k, *counters[n].shape) for n in self.layout.counters
        }
        # contiguous each: vmap's batch norm loses what it writes into a strided view
        self.buffers = {n: b.clone(memory_format=torch.contiguous_format) for n, b in every.items()}
        self.extras = [v.expand(k, *v.shape[v.dim() > 1 :]) for v in gradient.extras]
        self.carry = {n: v.expand(k, *v.shape[v.dim() > 1 :]).clone() for n, v in gradient.carry.items()}
        self.trainable = None if gradient.trainable is None else gradient.trainable.weights.expand(k, -1)
        self.log = StepLog(k, self.weights.device)
        self.trainer = TrainerStub(epochs, self.log.log)
        self.trainer.attach(worker.module)
        self.passes = self.full = self.last = StackedPass(worker, self.log)
        mode = worker.config.compile
        if mode is not None and not worker.plan.per_client_facts:
            self.full = TracedPass(worker, self.log, mode)
            if order.batch_size <= _FEW_SIZES:
                self.last = TracedPass(worker, self.log)
        self.steps = np.zeros(k, dtype=np.int64)
        self.behind = torch.zeros(k, dtype=torch.int64, device=self.weights.device)  # the same, for the draws
        self.total = torch.zeros(k, dtype=torch.float64, device=self.weights.device)  # of the losses
        self._configure(k)
        self._rates = self.weights.new_zeros(k, 1)  # summed, where they change
        self._room = torch.empty_like(self.weights)
        self._moved: tuple[str, ...] | None = None  # the weights that get a gradient
        self._runs: Runs | None = None

    # --- the optimiser --------------------------------------------------------------------------------
    def _configure(self, k: int) -> None:
        """One optimiser for all, or one a client where schedulers or the number of its batches make them differ."""
        module = self.worker.module
        try:
            made = [configured(module)]
        except DiffersByClient:
            made = []
        if not made or made[0][1]:
            made = []
            for count in self.order.counts:
                self.trainer.batches, self.trainer.steps = int(count), 0
                made.append(configured(module))
            self.trainer.batches = self.trainer.steps = None
        self.trainer.asked.clear()
        self.schedulers = [schedulers for _, schedulers in made] if made[0][1] else []
        if any(c.reduce_on_plateau and c.interval == "step" for c in made[0][1]):
            raise TypeError("a scheduler follows a metric step by step")
        self.optimizers = [optimizer for optimizer, _ in made]
        for optimizer in self.optimizers:
            optimizer._opt_called = True  # schedulers warn of an optimiser whose own step was never called
        self.optimizer = stacked_optimizer(self.optimizers, k)
        names = {id(p): n for n, p in module.named_parameters()}
        self.groups = [[names[id(p)] for p in g["params"]] for g in self.optimizers[0].param_groups]
        self.named = {n: p for n, p in module.named_parameters() if n in self.layout.weights}
        self._shared_rate = learning_rates(self.optimizers[:1], self.named)[None]

    def _rate(self, at: np.ndarray) -> Tensor:
        """The rows' learning rates now: (n, 1), or (n, P) where groups differ; (1, ...) where all rows share them."""
        if len(self.optimizers) == 1:  # without a scheduler
            return self._shared_rate
        found = [learning_rates([self.optimizers[r]], self.named) for r in at]
        widest = max(found, key=len)
        return torch.stack([as_wide(rates, widest) for rates in found])

    # --- the fit --------------------------------------------------------------------------------
    def run(
        self,
        order: Callable[[int], SampleOrder],
        batch: Callable[[StackBatch, int], Any],
        after_epoch: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            order: the clients' samples in an epoch's order.
            batch: the batch of a cut in an epoch, every tensor (n, B, ...).
            after_epoch: called after each epoch.
        """
        for epoch in range(self.trainer.max_epochs):
            self.trainer.current_epoch = epoch
            for cut in self.order.epoch(order(epoch)):
                interrupts.check()
                self._cut(cut, batch(cut, epoch))
            self.log.end_epoch()
            self._schedule("epoch", range(len(self.steps)), [epoch + 1] * len(self.steps))
            if after_epoch is not None:
                after_epoch()

    def _cut(self, cut: StackBatch, batch: Any) -> None:
        """One call for all its rows, or one for those that share what the step asks of its trainer."""
        at = np.arange(len(self.steps))[cut.rows]
        rows: Rows = cut.rows if isinstance(cut.rows, slice) else there(cut.rows, self.weights)
        per_client_facts = self.worker.plan.per_client_facts
        numbers = self.steps[at] - self.order.counts[at] * self.trainer.current_epoch  # each row's batch_idx
        if not per_client_facts:
            self._step(rows, at, batch, cut.batch_idx)
        else:
            alike: dict[tuple[int, int], list[int]] = {}
            for i, r in enumerate(at):
                facts = (
                    int(self.steps[r]) if "steps" in per_client_facts else 0,
                    int(self.order.counts[r]) if "batches" in per_client_facts else 0,
                )
                alike.setdefault(facts, []).append(i)
            for (steps, batches), inside in alike.items():
                self.trainer.steps = steps if "steps" in per_client_facts else None
                self.trainer.batches = batches if "batches" in per_client_facts else None
                index = there(np.array(inside), self.weights)
                some = pytree.tree_map(lambda t: t[index], batch)  # noqa: B023
                batch_idx = int(numbers[inside[0]]) if "batches" in per_client_facts else cut.batch_idx
                self._step(there(at[inside], self.weights), at[inside], some, batch_idx)
            self.trainer.steps = self.trainer.batches = None
        self._schedule("step", at, numbers + 1)

    def draws(self, rows: Rows) -> tuple[Tensor, Tensor] | tuple[()]:
        """Keys and steps behind of the rows' draws; none where the step draws nothing."""
        return () if self.keys is None else (self.keys[rows], self.behind[rows])

    def _step(self, rows: Rows, at: np.ndarray, batch: Any, batch_idx: int) -> None:
        self.trainer.batch_idx = batch_idx
        weights = self.weights[rows]
        buffers = {n: b[rows] for n, b in self.buffers.items()}
        passes = self.full if isinstance(rows, slice) else self.last
        passed = passes(PassInputs(weights, buffers, batch, batch_idx, self.draws(rows)))
        self.total[rows] += passed.loss
        if passed.logged:
            self.log.add(rows, passed.logged, samples_in(batch, axis=1))
        for name, buffer in self.buffers.items():
            if not isinstance(rows, slice) or passed.buffers[name].data_ptr() != buffers[name].data_ptr():
                buffer[rows] = passed.buffers[name].detach()
        moved = tuple(n for n, g in zip(self.layout.weights, passed.gradients, strict=True) if g is not None)
        rate = self._rate(at)
        if self.gradient.gradient_fn is None:
            gradient = self._gathered(passed.gradients)
        else:
            gradient = self._by_rule(rows, weights, batch, batch_idx, rate)
        with torch.no_grad():
            self._move(rows, at, weights, gradient, moved)
        self.steps[at] += 1
        if self.keys is not None:
            self.behind[rows] += 1
        if self.schedulers:
            self._rates = as_wide(self._rates, rate)
            self._rates[rows] += rate

    def _gathered(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """As one (n, P), in memory that is kept: asking for it anew in each step would cost more than filling it."""
        found = self._room[: next(len(g) for g in gradients if g is not None)]
        for piece, gradient in zip(self.layout.pieces(found).values(), gradients, strict=True):
            piece.zero_() if gradient is None else piece.copy_(gradient)
        return found

    def _by_rule(self, rows: Rows, weights: Tensor, batch: Any, batch_idx: int, rate: Tensor) -> Tensor:
        assert self.gradient.gradient_fn is not None
        buffers = {n: b[rows] for n, b in self.buffers.items()}
        at = weights.detach().clone().requires_grad_()
        with self.worker.trainer.precision_plugin.forward_context():
            step = StackedStep(self, rows, batch, batch_idx, buffers, rate.expand(len(at), -1))
            gradient = self.gradient.gradient_fn(
                step, at, *(v[rows] for v in self.extras), **{n: v[rows] for n, v in self.carry.items()}
            )
        if self.carry:
            gradient, new = gradient
            for name, value in new.items():
                self.carry[name][rows] = value.detach()
        return gradient.detach()

    def _move(self, rows: Rows, at: np.ndarray, weights: Tensor, gradient: Tensor, moved: tuple[str, ...]) -> None:
        if self.gradient.adjust_gradient is not None:
            gradient = self.gradient.adjust_gradient(gradient, weights, *(v[rows] for v in self.extras))
        still = None
        if self.trainable is not None:
            still = ~self.trainable[rows], weights.clone()
            gradient = gradient * self.trainable[rows]
        if self._runs is None:
            self._moved, self._runs = moved, Runs(self.groups, moved, self.layout.weights)
        if moved != self._moved:  # torch's optimisers count the steps of each tensor
            raise TypeError("the step gives some weights a gradient at times only")
        runs = self._runs
        gradient = self._clipped(gradient, runs)
        self.optimizer.step(rows, at, self.steps[at], weights, gradient, runs)
        if still is not None:  # weight decay moves what has no gradient: put it back
            weights = torch.where(still[0], still[1], weights)
        if still is not None or not isinstance(rows, slice):
            self.weights[rows] = weights

    def _clipped(self, gradient: Tensor, runs: Runs) -> Tensor:
        """Each client's gradient clipped by its own norm, or by value; of what the optimiser moves."""
        most = self.worker.config.gradient_clip_val
        if not most:
            return gradient
        if self.worker.config.gradient_clip_algorithm == "value":
            return gradient.clamp(-most, most)
        squares = sum(gradient[:, run].square().sum(1, keepdim=True) for _, run in runs.cuts)
        return gradient * (most / (torch.as_tensor(squares).sqrt() + 1e-6)).clamp_max(1)

    def _schedule(self, interval: str, at: Sequence[int] | np.ndarray, done: Sequence[int] | np.ndarray) -> None:
        if not self.schedulers:
            return
        for plateau in (False, True):
            follows = plateau and interval == "epoch" and any(c.reduce_on_plateau for c in self.schedulers[0])
            metrics = self.log.metrics() if follows else None  # a look at the device, which waits for it
            for row, number in zip(at, done, strict=True):
                step_schedulers(self.schedulers[row], interval, int(number), plateau, metrics[row] if metrics else {})

    # --- results --------------------------------------------------------------------------------
    def model(self) -> Model:
        parts = [self.buffers[n].flatten(1) for n in self.layout.statistics]
        statistics = torch.cat(parts, 1) if parts else self.weights.new_empty(len(self.weights), 0)
        return Model(self.weights, statistics.to(self.weights.dtype))

    def lr(self) -> Tensor:
        """(K, 1) or (K, P): the learning rates of the steps, summed."""
        if self.schedulers:
            return self._rates
        return torch.from_numpy(self.steps).to(self._rates)[:, None] * self._shared_rate[0]

    def loss(self) -> Tensor:
        """(K, 1) mean over the steps."""
        steps = torch.from_numpy(self.steps).to(self.total)
        return (self.total / steps)[:, None]
