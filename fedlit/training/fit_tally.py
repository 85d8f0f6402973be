"""Counts of one client's fit: optimiser steps, their learning rates and gain, losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fedlit.client import Fitted
from fedlit.model_vectors import Model, as_real
from fedlit.training.sgd_gain import FitGain


class FitTally:
    """Accumulates in place. One tensor per step would grow without bound when parameter groups have different learning
    rates, and would fragment the allocator: even a scalar can land in the block just freed by a large activation.

    Args:
        parameters: name -> parameter, of those that are trained.
        keeps_state: the client keeps the optimiser's state between rounds.
        check_stepped: called with the parameters of a step that have a gradient, whenever these have changed.

    Attributes:
        steps: optimiser steps.
        rate_sum: sum of the steps' learning rates: (1,) where all parameters share one rate, else (P,).
        last_group_rates: the learning rates of the last step as numbers, see `group_rates`.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        keeps_state: bool = False,
        check_stepped: Callable[[Sequence[Tensor]], None] | None = None,
    ) -> None:
        self._parameters, self._keeps_state, self._check_stepped = parameters, keeps_state, check_stepped
        self._gain: FitGain | None = None
        self._several = False
        self._is_counted = False  # the last step
        self._stepped: list[list[int]] = []  # the parameters of the last step, by parameter group
        self._may_set_rates = False  # an optimiser of the last step
        self._loss_sums: list[Tensor] = []  # one for each epoch, in double precision
        self._loss_counts: list[int] = []
        first = as_real(next(iter(parameters.values())))
        self.steps, self.rate_sum = 0, first.new_zeros(1)
        self.last_group_rates: list[float] = []

    def begin(self, optimizers: Sequence[Any]) -> None:
        """Call it with all optimisers of the fit before its first step, and before a kept state is loaded."""
        self._several = len(optimizers) > 1
        self._gain = FitGain(optimizers, self._keeps_state)

    def begin_epoch(self) -> None:
        self._loss_sums.append(torch.zeros((), dtype=torch.float64))
        self._loss_counts.append(0)

    def add_loss(self, loss: Tensor) -> None:
        if not self._loss_counts[-1]:  # made on the device: copying a number there is a synchronisation
            self._loss_sums[-1] = torch.zeros((), dtype=torch.float64, device=loss.device)
        mean = loss.detach().double().mean()  # under manual optimisation it may be several numbers
        self._loss_sums[-1] += mean.to(self._loss_sums[-1].device)
        self._loss_counts[-1] += 1

    def add_step(self, optimizers: Sequence[Any]) -> None:
        """Count a step. Call it when the gradients and the learning rates of the step are known.

        A step without any gradient changes nothing, and is not counted: training_step returned None.

        Args:
            optimizers: those that take the step.
        """
        groups = [group for o in optimizers for group in o.param_groups]
        stepped = [[id(p) for p in group["params"] if p.grad is not None] for group in groups]
        self._is_counted = any(stepped)
        if not self._is_counted:
            return
        self.steps += 1
        if stepped != self._stepped:
            self._stepped = stepped
            self._may_set_rates = any(map(_may_set_rate, optimizers))
            if self._check_stepped is not None:
                self._check_stepped([p for group in groups for p in group["params"] if p.grad is not None])
        if self._gain is not None:
            self._gain.add_step(groups, stepped)
        if not self._may_set_rates:
            self._add_rates(optimizers)

    def end_step(self, optimizers: Sequence[Any]) -> None:
        """Call it when the step has been taken."""
        if self._is_counted and self._may_set_rates:
            self._add_rates(optimizers)

    def _add_rates(self, optimizers: Sequence[Any]) -> None:
        rates = learning_rates(optimizers, self._parameters, self._several)
        self.last_group_rates = group_rates(optimizers, self._parameters)
        self.rate_sum = widened(self.rate_sum.to(rates), rates)
        self.rate_sum += rates

    @property
    def epochs(self) -> int:
        """Epochs that have begun."""
        return len(self._loss_counts)

    @property
    def epoch_loss(self) -> float:
        """The mean over the steps of the epoch; NaN where there were none."""
        return float(self._loss_sums[-1]) / self._loss_counts[-1] if self._loss_counts[-1] else float("nan")

    @property
    def loss(self) -> Tensor:
        """() the mean over all steps; NaN where there were none."""
        sums = [total for total, count in zip(self._loss_sums, self._loss_counts, strict=True) if count]
        if not sums:
            return torch.tensor(float("nan"))
        return sum(sums[1:], sums[0]) / sum(self._loss_counts)

    def fitted(self, model: Model, carry: dict[str, Tensor]) -> Fitted:
        """The result of the fit, with the leading axis of one client."""
        new, rate_sum = model.weights.new_full, self.rate_sum[None].to(model.weights)
        gain = None if self._gain is None else partial(self._gain.of, self._parameters, rate_sum)
        return Fitted(model, new((1, 1), self.steps), rate_sum, self.loss.to(model.weights)[None, None], carry, gain)


def learning_rates(optimizers: Sequence[Any], parameters: Mapping[str, Tensor], several: bool = False) -> Tensor:
    """The current learning rates: (1,) where all parameters share one, else (P,).

    Args:
        several: there are other optimisers, whose parameters have a learning rate of 0 here.
    """
    groups = [g for o in optimizers for g in o.param_groups]
    first = as_real(next(iter(parameters.values())))
    rates = {float(g["lr"]) for g in groups}
    if len(rates) == 1 and not several:
        return first.new_full((1,), rates.pop())  # new_tensor would synchronise with the GPU
    rate_of = {id(p): float(g["lr"]) for g in groups for p in g["params"]}
    return torch.cat([first.new_full((as_real(p).numel(),), rate_of.get(id(p), 0.0)) for p in parameters.values()])


def held_positions(optimizers: Sequence[Any], parameters: Mapping[str, Tensor]) -> Tensor | None:
    """(P,) 1 at the parameters that an optimiser holds, and 0 at the others; None where they hold all."""
    held = {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
    if all(id(p) in held for p in parameters.values()):
        return None
    first = as_real(next(iter(parameters.values())))
    return torch.cat([first.new_full((as_real(p).numel(),), float(id(p) in held)) for p in parameters.values()])


def group_rates(optimizers: Sequence[Any], parameters: Mapping[str, Tensor]) -> list[float]:
    """The current learning rates of the parameter groups that hold one of these parameters. Two lists are compared
    without waiting for the device."""
    trained = {id(p) for p in parameters.values()}
    groups = (g for o in optimizers for g in o.param_groups)
    return [float(g["lr"]) for g in groups if any(id(p) in trained for p in g["params"])]


def _may_set_rate(optimizer: Any) -> bool:
    """Whether the step of an optimiser may set its learning rate before the update, as a user's own class can. After a
    step with hooks the rate may be that of the next step."""
    has_hooks = getattr(optimizer, "_optimizer_step_post_hooks", None)
    return not type(optimizer).__module__.startswith("torch.optim") and not has_hooks


def widened(rates: Tensor, others: Tensor) -> Tensor:
    """Rates (..., 1) or (..., P), expanded where `others` are (..., P), so that `others` can be added in place. A
    scheduler may give parameter groups different rates during a fit."""
    width = others.shape[-1]
    return rates if rates.shape[-1] >= width else rates.expand(*rates.shape[:-1], width).clone()
