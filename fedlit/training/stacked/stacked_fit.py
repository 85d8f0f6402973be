"""The fit of a stack of clients: batches of several clients go through the user's step in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.data.fit_data_module import with_hooks_of
from fedlit.device_copies import to_device_of
from fedlit.model_vectors import Model
from fedlit.torch_compat import pytree
from fedlit.training.batch_plan import StackBatch
from fedlit.training.fit_plan import FitPlan
from fedlit.training.gradient import GradientOptions, with_rows
from fedlit.training.rate_alone import warn_of_rate_alone
from fedlit.training.stacked.fit_optimizers import FitOptimizers
from fedlit.training.stacked.optimizer_rows import Rows
from fedlit.training.stacked.setup import StackSetup
from fedlit.training.stacked.stack_buffers import stack_buffers
from fedlit.training.stacked.stack_data import StackData
from fedlit.training.stacked.stacked_pass import PassInputs, StackedPass, TracedPass
from fedlit.training.stacked.stacked_step import StackedStep
from fedlit.training.stacked.step_log import StepLog
from fedlit.user_module.trainer_stub import TrainerStub
from fedlit.user_module.training_step import samples_in

_FEW_SIZES = 16  # largest full batch for which last batches are traced: each of their sizes takes most of a second


class StackedFit:
    """Trains K clients, longest shard first, from `model`, (K, P) and (K, S).

    Args:
        counters: the server's integer buffers, by name.
        plan: the clients' batches.
        keys: (K,) of the draws in the step; None where it makes none.
        draw_keys: returns the keys (K,) of the algorithm's draws for a purpose (see `Step.draw`).

    Attributes:
        weights: (K, P), the current ones.
        buffers: (K, *shape) by name.
        carry: current values of the tensors that are updated along with the weights.
        optimizers: the user's, with their schedulers.
        steps: (K,) optimiser steps so far.
        total: (K,) sum of the losses.
    """

    def __init__(
        self,
        setup: StackSetup,
        model: Model,
        counters: dict[str, Tensor],
        gradient: GradientOptions,
        plan: FitPlan,
        keys: Tensor | None,
        draw_keys: Callable[[str], Tensor],
    ):
        k, host = len(plan.counts), setup.host
        self.setup, self.host, self.layout = setup, host, host.layout
        self.gradient, self.plan, self.keys, self.draw_keys = gradient, plan, keys, draw_keys
        self.weights = model.weights.expand(k, -1).clone()
        self.buffers = stack_buffers(self.layout, model.statistics, counters, k)
        self._extras = [with_rows(v, k) for v in gradient.extras]
        self.carry = {n: with_rows(v, k).clone() for n, v in gradient.carry.items()}
        self._trainable = None if gradient.trainable is None else gradient.trainable.weights.expand(k, -1)
        self.log = StepLog(k, self.weights.device)
        self.trainer = TrainerStub(plan.common_epochs, self.log.log)
        self.data = with_hooks_of(StackData(self.trainer), host.data.users)
        self.trainer.with_data(self.data)
        self._data_attributes = dict(vars(self.data))
        self.trainer.attach(host.module)
        self.plain_pass = self._full_pass = self._last_pass = StackedPass(setup, self.log)
        if setup.compile is not None and not setup.plan.per_client_facts:
            self._full_pass = TracedPass(setup, self.log, setup.compile)
            if plan.batches.batch_size <= _FEW_SIZES:
                self._last_pass = TracedPass(setup, self.log)
        self.steps = np.zeros(k, dtype=np.int64)
        self._steps_on_device = torch.zeros(k, dtype=torch.int64, device=self.weights.device)  # the same, for the draws
        self.total = torch.zeros(k, dtype=torch.float64, device=self.weights.device)
        self.optimizers = FitOptimizers(host, self.trainer, plan)
        self._held = self.optimizers.held() if gradient.gradient_fn is not None else None
        self._gradient_buffer = torch.empty_like(self.weights)
        self._rate_was_read = False  # by a `gradient_fn`

    # --- the fit --------------------------------------------------------------------------------
    def run(
        self,
        load: Callable[[StackBatch], Any],
        after_epoch: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            load: returns the batch of a part of the plan, every tensor (n, B, ...).
            after_epoch: called after each epoch.
        """
        for epoch in range(int(self.plan.epochs.max())):
            self.trainer.current_epoch = epoch
            for part in self.plan.epoch(epoch):
                interrupts.check()
                self._train_part(part, load(part))
            self.log.end_epoch()
            rows = np.flatnonzero(self.plan.epochs > epoch)
            self.optimizers.schedule("epoch", rows, [epoch + 1] * len(rows), self.log.metrics)
            if after_epoch is not None:
                after_epoch()

    def _train_part(self, part: StackBatch, batch: Any) -> None:
        """One call for all its rows, or one for each group of rows that share the facts that the step reads."""
        row_numbers = np.arange(len(self.steps))[part.rows]
        rows: Rows = part.rows if isinstance(part.rows, slice) else to_device_of(self.weights, part.rows)
        facts_read = self.setup.plan.per_client_facts
        batch_numbers = self.steps[row_numbers] - self.plan.counts[row_numbers] * self.trainer.current_epoch
        if not facts_read:
            self._step(rows, row_numbers, batch, part.batch_idx, part.index.shape[1])
        else:
            groups: dict[tuple[int, int], list[int]] = {}
            for i, r in enumerate(row_numbers):
                facts = (
                    int(self.steps[r]) if "steps" in facts_read else 0,
                    int(self.plan.counts[r]) if "batches" in facts_read else 0,
                )
                groups.setdefault(facts, []).append(i)
            for (steps, batches), positions in groups.items():
                self.trainer.steps = steps if "steps" in facts_read else None
                self.trainer.batches = batches if "batches" in facts_read else None
                index = to_device_of(self.weights, np.array(positions))
                group_batch = pytree.tree_map(lambda t: t[index], batch)  # noqa: B023
                batch_idx = int(batch_numbers[positions[0]]) if "batches" in facts_read else part.batch_idx
                group_rows = row_numbers[positions]
                group_on_device = to_device_of(self.weights, group_rows)
                self._step(group_on_device, group_rows, group_batch, batch_idx, part.index.shape[1])
            self.trainer.steps = self.trainer.batches = None
        self.optimizers.schedule("step", row_numbers, batch_numbers + 1, self.log.metrics)

    def draws(self, rows: Rows) -> tuple[Tensor, Tensor] | tuple[()]:
        """Keys and step numbers of the rows' draws; empty where the step makes none."""
        return () if self.keys is None else (self.keys[rows], self._steps_on_device[rows])

    def _step(self, rows: Rows, row_numbers: np.ndarray, batch: Any, batch_idx: int, examples: int) -> None:
        """
        Args:
            examples: samples in the batch of each row.
        """
        self.trainer.batch_idx = batch_idx
        weights = self.weights[rows]
        buffers = {n: b[rows] for n, b in self.buffers.items()}
        buffers_before = {n: b.clone() for n, b in buffers.items()} if self.gradient.gradient_fn is not None else {}
        forward_backward = self._full_pass if examples == self.plan.batches.batch_size else self._last_pass
        result = forward_backward(PassInputs(weights, buffers, batch, batch_idx, self.draws(rows)))
        self.total[rows] += result.loss
        if result.logged:
            self.log.add(rows, result.logged, samples_in(batch, axis=1))
        for name, buffer in self.buffers.items():
            if not isinstance(rows, slice) or result.buffers[name].data_ptr() != buffers[name].data_ptr():
                buffer[rows] = result.buffers[name].detach()
        with_gradient = tuple(n for n, g in zip(self.layout.weights, result.gradients, strict=True) if g is not None)
        rate = self.optimizers.rate(row_numbers)
        if self.gradient.gradient_fn is None:
            gradient = self._gathered(result.gradients)
        else:
            step = self._as_seen(rows, row_numbers, buffers_before, batch, batch_idx, rate, examples)
            gradient = self._from_gradient_fn(step, rows, weights)
        self.optimizers.count_step(rows, row_numbers, rate)
        with torch.no_grad():
            self._update(rows, row_numbers, weights, gradient, with_gradient)
        self.steps[row_numbers] += 1
        if self.keys is not None:
            self._steps_on_device[rows] += 1

    def _gathered(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """As one tensor (n, P), in a buffer that is used again: allocating it in each step costs more than filling
        it."""
        gathered = self._gradient_buffer[: next(len(g) for g in gradients if g is not None)]
        for piece, gradient in zip(self.layout.pieces(gathered).values(), gradients, strict=True):
            piece.zero_() if gradient is None else piece.copy_(gradient)
        return gathered

    def _as_seen(
        self,
        rows: Rows,
        row_numbers: np.ndarray,
        buffers: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        rate: Tensor,
        examples: int,
    ) -> StackedStep:
        """The step as a `gradient_fn` sees it.

        Args:
            buffers: before the step, which may have changed them.
        """
        n = len(row_numbers)
        step = StackedStep(
            self.plain_pass.call,
            self._unlogged,
            self.draws(rows),
            buffers,
            lambda what: self.draw_keys(what)[rows],
            batch,
            batch_idx,
            (rate if self._held is None else rate * self._held).expand(n, -1),
            self.host.data.train,
            self.weights.new_full((n, 1), examples),
            self.steps[row_numbers],
        )
        step.least_part = 2 if self.host.has_batch_norm else 1
        return step

    @contextmanager
    def _unlogged(self) -> Iterator[None]:
        """Drop the values that the user's step logs: these evaluations are the algorithm's, not the user's."""
        yield
        self.log.current.clear()

    def _from_gradient_fn(self, step: StackedStep, rows: Rows, weights: Tensor) -> Tensor:
        assert self.gradient.gradient_fn is not None
        leaf = weights.detach().clone().requires_grad_()
        with self.host.trainer.precision_plugin.forward_context():
            gradient = self.gradient.gradient_fn(
                step, leaf, *(v[rows] for v in self._extras), **{n: v[rows] for n, v in self.carry.items()}
            )
        if step.lr_was_read and not self._rate_was_read:
            self._rate_was_read = True
            warn_of_rate_alone(self.host.module, self.optimizers.optimizers[:1])
        if self.carry:
            gradient, new_carry = gradient
            for name, value in new_carry.items():
                self.carry[name][rows] = value.detach().to(self.carry[name])
        return gradient.detach()

    def _update(
        self, rows: Rows, row_numbers: np.ndarray, weights: Tensor, gradient: Tensor, with_gradient: tuple[str, ...]
    ) -> None:
        """The optimiser's step."""
        if self.gradient.adjust_gradient is not None:
            gradient = self.gradient.adjust_gradient(gradient, weights, *(v[rows] for v in self._extras))
        frozen = None
        if self._trainable is not None:
            frozen = ~self._trainable[rows], weights.clone()
            gradient = gradient * self._trainable[rows]
        self.optimizers.step(rows, row_numbers, self.steps[row_numbers], weights, gradient, with_gradient)
        if frozen is not None:  # weight decay changes them even without a gradient
            weights = torch.where(frozen[0], frozen[1], weights)
        if frozen is not None or not isinstance(rows, slice):
            self.weights[rows] = weights

    # --- results --------------------------------------------------------------------------------
    def changed_data(self) -> list[str]:
        """The attributes of `self.trainer.datamodule` that the step has set."""
        before = self._data_attributes
        return [n for n, value in vars(self.data).items() if n not in before or before[n] is not value]

    def model(self) -> Model:
        parts = [self.buffers[n].reshape(len(self.weights), -1) for n in self.layout.statistics]
        statistics = torch.cat(parts, 1) if parts else self.weights.new_empty(len(self.weights), 0)
        return Model(self.weights, statistics.to(self.weights.dtype))

    def loss(self) -> Tensor:
        """(K, 1): the mean over the steps."""
        steps = to_device_of(self.total, self.steps).to(self.total.dtype)
        return (self.total / steps)[:, None]
