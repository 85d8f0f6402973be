"""Counts of one client's fit: optimiser steps, their learning rates, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit.client import Fitted
from fedlit.model_vectors import Model


class FitTally:
    """Accumulates in place. One tensor per step would grow without bound when parameter groups have different learning
    rates, and would fragment the allocator: even a scalar can land in the block just freed by a large activation.

    Args:
        parameters: name -> parameter, of those that are trained.

    Attributes:
        steps: optimiser steps.
        rate_sum: sum of the steps' learning rates: (1,) where all parameters share one rate, else (P,).
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters
        self._loss_sums: list[Tensor] = []  # one for each epoch, in double precision
        self._loss_counts: list[int] = []
        self.steps, self.rate_sum = 0, torch.zeros(1)

    def begin_epoch(self) -> None:
        self._loss_sums.append(torch.zeros((), dtype=torch.float64))
        self._loss_counts.append(0)

    def add_loss(self, loss: Tensor) -> None:
        self._loss_sums[-1] = self._loss_sums[-1].to(loss.device)
        self._loss_sums[-1] += loss.detach().double().mean()  # under manual optimisation it may be several numbers
        self._loss_counts[-1] += 1

    def add_step(self, optimizers: Sequence[Any]) -> None:
        self.steps += 1
        rates = learning_rates(optimizers, self._parameters)
        self.rate_sum = widened(self.rate_sum.to(rates), rates)
        self.rate_sum += rates

    @property
    def epoch_loss(self) -> float:
        """The mean over the steps of the epoch; NaN where there were none."""
        return float(self._loss_sums[-1]) / self._loss_counts[-1] if self._loss_counts[-1] else float("nan")

    @property
    def loss(self) -> float:
        """The mean over all steps; NaN where there were none."""
        total, count = sum(map(float, self._loss_sums)), sum(self._loss_counts)
        return total / count if count else float("nan")

    def fitted(self, model: Model, carry: dict[str, Tensor]) -> Fitted:
        """The result of the fit, with the leading axis of one client."""
        new = model.weights.new_tensor
        return Fitted(model, new([[self.steps]]), self.rate_sum[None].to(model.weights), new([[self.loss]]), carry)


def has_gradient(optimizer: Any) -> bool:
    """Whether a step of the optimiser changes anything. Without any gradient it does not: training_step returned
    None."""
    return any(p.grad is not None for g in optimizer.param_groups for p in g["params"])


def learning_rates(optimizers: Sequence[Any], parameters: Mapping[str, Tensor]) -> Tensor:
    """The current learning rates: (1,) where all parameters share one, else (P,)."""
    groups = [g for o in optimizers for g in o.param_groups]
    first = next(iter(parameters.values()))
    rates = {float(g["lr"]) for g in groups}
    if len(rates) == 1:
        return first.new_full((1,), rates.pop())  # new_tensor would synchronise with the GPU
    rate_of = {id(p): float(g["lr"]) for g in groups for p in g["params"]}
    return torch.cat([first.new_full((p.numel(),), rate_of.get(id(p), 0.0)) for p in parameters.values()])


def widened(rates: Tensor, others: Tensor) -> Tensor:
    """Rates (..., 1) or (..., P), expanded where `others` are (..., P), so that `others` can be added in place. A
    scheduler may give parameter groups different rates during a fit."""
    width = others.shape[-1]
    return rates if rates.shape[-1] >= width else rates.expand(*rates.shape[:-1], width).clone()
