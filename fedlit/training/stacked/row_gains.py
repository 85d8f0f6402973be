"""`Fitted.gain` of the rows of a stack. In a stack a weight has a gradient in each step or in none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.training.sgd_gain import GroupGain, gain_by_parameter, gain_from_rates, why_undefined


class RowGains:
    """
    Args:
        optimizers: the user's optimiser, one for all rows or one for each.
        groups: the names of the weights, by parameter group.
        by_row: there is an optimiser for each row, because its options differ or schedulers change them.
        keeps_state: as in `why_undefined`.
    """

    def __init__(self, optimizers: Sequence[Any], groups: Sequence[Sequence[str]], by_row: bool, keeps_state: bool):
        self._reason = why_undefined(optimizers[:1], keeps_state)
        self._optimizers, self._groups = optimizers, groups
        # copies: the module may keep the optimiser, which is restored after the fit
        self._options = [{k: v for k, v in group.items() if k != "params"} for group in optimizers[0].param_groups]
        self._by_row = [[GroupGain() for _ in groups] for _ in optimizers] if by_row and not self._reason else []

    def add_step(self, row_numbers: np.ndarray) -> None:
        """Call it before the step of these rows. With one optimiser for all rows it has nothing to do."""
        if self._by_row:
            for row in row_numbers:
                _add_step(self._by_row[row], self._optimizers[row].param_groups)

    def of(self, steps: np.ndarray, shapes: Mapping[str, torch.Size], rate_sum: Tensor) -> Tensor:
        """The gain, (K, 1) or (K, P).

        Args:
            steps: (K,) steps of the rows.
            shapes: of the weights, by name.
            rate_sum: (K, 1) or (K, P), the sum of the steps' learning rates.

        Raises:
            InputError: it is not defined.
        """
        if self._reason:
            raise InputError(self._reason)
        gains = self._by_row or self._after_each_step(int(steps.max()))
        if all(gain.is_rate_sum for row in gains for gain in row):
            return gain_from_rates(rate_sum)
        totals = np.array([[*(gain.total for gain in row), 0.0] for row in gains])
        if not self._by_row:
            totals = totals[steps]
        group_of = {name: g for g, names in enumerate(self._groups) for name in names}
        columns = [group_of.get(name, -1) for name in shapes]  # -1: no group has it, and its gain is 0
        return gain_by_parameter(totals[:, columns], [shape.numel() for shape in shapes.values()], rate_sum)

    def _after_each_step(self, steps: int) -> list[list[GroupGain]]:
        """The groups' gains after 0, 1, ... steps."""
        gains = [[GroupGain() for _ in self._groups]]
        for _ in range(steps):
            gains.append([gain.copy() for gain in gains[-1]])
            _add_step(gains[-1], self._options)
        return gains


def _add_step(gains: Sequence[GroupGain], groups: Sequence[Mapping[str, Any]]) -> None:
    for gain, options in zip(gains, groups, strict=True):
        gain.add_step(options)
