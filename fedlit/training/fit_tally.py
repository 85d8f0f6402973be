"""What a fit of one client counts as it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit.training.gradient import as_wide, learning_rates


class FitTally:
    """Steps of the optimiser with their learning rates, and losses, added up where they lie.

    Kept step by step they would be a list of whole vectors where parameter groups have rates of their own; and even a
    single number, kept, lies in the room that a step's large tensors have left, so that the next ones do not fit there.

    Args:
        named: the parameters that are trained.

    Attributes:
        steps: of the optimiser.
        rate_sum: of the steps: (1,) where all parameters share one rate, else (P,).
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self._named = named
        self._loss_sums: list[Tensor] = []  # of an epoch each, in double precision
        self._losses: list[int] = []
        self.steps, self.rate_sum = 0, torch.zeros(1)

    def begin_epoch(self) -> None:
        self._loss_sums.append(torch.zeros((), dtype=torch.float64))
        self._losses.append(0)

    def add_loss(self, loss: Tensor) -> None:
        self._loss_sums[-1] = self._loss_sums[-1].to(loss.device)
        self._loss_sums[-1] += loss.detach().double().mean()  # under manual optimisation it may be several numbers
        self._losses[-1] += 1

    def add_step(self, optimizers: Sequence[Any]) -> None:
        self.steps += 1
        rates = learning_rates(optimizers, self._named)
        self.rate_sum = as_wide(self.rate_sum.to(rates), rates)
        self.rate_sum += rates

    @property
    def epoch_loss(self) -> float:
        """The mean over the steps of the epoch; NaN where there were none."""
        return float(self._loss_sums[-1]) / self._losses[-1] if self._losses[-1] else float("nan")

    @property
    def loss(self) -> float:
        """The mean over all steps; NaN where there were none."""
        return sum(map(float, self._loss_sums)) / sum(self._losses) if any(self._losses) else float("nan")
