"""The user's optimisers and schedulers in the fit of a stack, and what their steps have applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.device_copies import to_device_of
from fedlit.learning_rates import scale_learning_rates
from fedlit.training.fit_plan import FitPlan
from fedlit.training.fit_tally import held_positions, learning_rates, widened
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.optimizer_rows import Rows, Runs
from fedlit.training.stacked.row_gains import RowGains
from fedlit.training.stacked.stacked_optimizer import stacked_optimizer
from fedlit.user_module.trainer_stub import DiffersByClient, TrainerStub, configured, step_schedulers


class FitOptimizers:
    """One optimiser for all K clients, or one for each where schedulers, or the number of batches or epochs, make them
    differ. Their learning rates have the factor of the round.

    Args:
        host: its module is configured.
        trainer: that the module sees.
        plan: of the fit.

    Attributes:
        optimizers: as the module made them, one or K.
    """

    def __init__(self, host: ModuleHost, trainer: TrainerStub, plan: FitPlan):
        module, self._options, self._layout = host.module, host.options, host.layout
        configurations = _configurations(module, trainer, plan)
        for optimizer, row_schedulers in configurations:
            scale_learning_rates([optimizer], [config.scheduler for config in row_schedulers], host.lr_factor)
        first_schedulers = configurations[0][1]
        self._schedulers = [schedulers for _, schedulers in configurations] if first_schedulers else []
        self._rates_differ = bool(first_schedulers) or len(configurations) > 1
        if any(c.reduce_on_plateau and c.interval == "step" for c in first_schedulers):
            raise TypeError("a scheduler follows a metric step by step")
        self.optimizers = [optimizer for optimizer, _ in configurations]
        for optimizer in self.optimizers:
            optimizer._opt_called = True  # schedulers warn of an optimiser whose own step was never called
        k = len(plan.counts)
        self._optimizer = stacked_optimizer(self.optimizers, k)
        names = {id(p): n for n, p in module.named_parameters()}
        self._groups = [[names[id(p)] for p in g["params"]] for g in self.optimizers[0].param_groups]
        self._parameters = {n: p for n, p in module.named_parameters() if n in self._layout.weights}
        self._shared_rate = learning_rates(self.optimizers[:1], self._parameters)[None]
        layout = self._layout
        self._rate_sum = torch.zeros(k, 1, dtype=layout.dtype, device=layout.device)  # used where the rates differ
        self._gains = RowGains(self.optimizers, self._groups, self._rates_differ, host.options.keep_optimizer_state)
        self._with_gradient: tuple[str, ...] | None = None  # names of the weights that get a gradient
        self._runs: Runs | None = None

    def rate(self, row_numbers: np.ndarray) -> Tensor:
        """The rows' current learning rates: (n, 1), or (n, P) where groups differ; (1, ...) where all rows share
        them."""
        if not self._rates_differ:
            return self._shared_rate
        rates = [learning_rates([self.optimizers[r]], self._parameters) for r in row_numbers]
        widest = max(rates, key=len)
        return torch.stack([widened(row_rates, widest) for row_rates in rates])

    def held(self) -> Tensor | None:
        """See `held_positions`."""
        return held_positions(self.optimizers[:1], self._parameters)

    def step(
        self,
        rows: Rows,
        row_numbers: np.ndarray,
        counts: np.ndarray,
        weights: Tensor,
        gradient: Tensor,
        with_gradient: tuple[str, ...],
    ) -> None:
        """Clip the gradient of each row, and step the weights in place; arguments as in `StackedOptimizer.step`.

        Args:
            with_gradient: names of the weights that have a gradient.

        Raises:
            TypeError: they are others than in the steps before.
        """
        if self._runs is None:
            self._with_gradient, self._runs = with_gradient, Runs(self._groups, with_gradient, self._layout.weights)
        if with_gradient != self._with_gradient:  # torch's optimisers count the steps of each tensor
            raise TypeError("some weights have a gradient in some steps only")
        gradient = self._clipped(gradient, self._runs)
        self._optimizer.step(rows, row_numbers, counts, weights, gradient, self._runs)

    def _clipped(self, gradient: Tensor, runs: Runs) -> Tensor:
        """Each client's gradient clipped by its own norm, or by value, over the weights that the optimiser steps."""
        limit = self._options.gradient_clip_val
        if not limit:
            return gradient
        if self._options.gradient_clip_algorithm == "value":
            return gradient.clamp(-limit, limit)
        squares = sum(gradient[:, run].square().sum(1, keepdim=True) for _, run in runs.cuts)
        return gradient * (limit / (torch.as_tensor(squares).sqrt() + 1e-6)).clamp_max(1)

    def count_step(self, rows: Rows, row_numbers: np.ndarray, rate: Tensor) -> None:
        """Call it before each step of these rows.

        Args:
            rate: the result of `rate` for them.
        """
        self._gains.add_step(row_numbers)
        if self._rates_differ:
            self._rate_sum = widened(self._rate_sum, rate)
            self._rate_sum[rows] += rate

    def schedule(
        self,
        interval: str,
        row_numbers: Sequence[int] | np.ndarray,
        counts: Sequence[int] | np.ndarray,
        logged: Callable[[], Sequence[dict[str, float]]],
    ) -> None:
        """Step the schedulers of these rows.

        Args:
            interval: "step" or "epoch".
            counts: batches of the epoch, or epochs, that each row has completed.
            logged: returns the logged values of each row, by name; it waits for the device.
        """
        if not self._schedulers:
            return
        for plateau in (False, True):
            reads_metrics = plateau and interval == "epoch" and any(c.reduce_on_plateau for c in self._schedulers[0])
            metrics = logged() if reads_metrics else None
            for row, count in zip(row_numbers, counts, strict=True):
                row_metrics = metrics[row] if metrics else {}
                step_schedulers(self._schedulers[row], interval, int(count), plateau, row_metrics)

    def lr(self, steps: np.ndarray) -> Tensor:
        """(K, 1) or (K, P): the sum of the steps' learning rates.

        Args:
            steps: (K,) of the rows.
        """
        if self._rates_differ:
            return self._rate_sum
        return to_device_of(self._rate_sum, steps).to(self._rate_sum.dtype)[:, None] * self._shared_rate[0]

    def gain(self, steps: np.ndarray) -> Callable[[], Tensor]:
        """A function that returns `Fitted.gain`; the argument as in `lr`."""
        return partial(self._gains.of, steps, self._layout.weights, self.lr(steps))


def _configurations(module: Any, trainer: TrainerStub, plan: FitPlan) -> list[tuple[Any, list[Any]]]:
    """What configure_optimizers returns, once for all clients or once for each: an optimiser and its schedulers."""
    try:
        configurations = [configured(module)]
    except DiffersByClient:
        configurations = []
    if not configurations or configurations[0][1]:
        configurations = []
        for count, epochs in zip(plan.counts.tolist(), plan.epochs.tolist(), strict=True):
            trainer.batches, trainer.steps = max(count, 1), 0  # schedulers refuse 0 batches
            trainer.epochs = max(epochs, 1)
            configurations.append(configured(module))
        trainer.batches = trainer.steps = None
        trainer.epochs = plan.common_epochs
    trainer.facts_read.clear()
    return configurations
