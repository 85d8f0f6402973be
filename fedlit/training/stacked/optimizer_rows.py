"""Rows of a stack as its optimiser sees them: their hyperparameters, and the positions that are stepped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.device_copies import to_device_of

Rows = slice | Tensor
"""Some rows of a stack: a front of it as a slice, or row numbers (n,) on the device."""

_NOT_COMPARED = ("params", "lr", "initial_lr", "max_lr", "min_lr", "foreach", "fused", "capturable", "differentiable")


class Runs:
    """The positions in the vector of the weights that an optimiser steps.

    Attributes:
        cuts: (parameter group, slice of positions), one for each contiguous run of weights of one group.
    """

    def __init__(self, groups: Sequence[Sequence[str]], stepped: Sequence[str], shapes: Mapping[str, torch.Size]):
        group_of = {name: g for g, names in enumerate(groups) for name in names}
        self.cuts: list[tuple[int, slice]] = []
        begin = 0
        for name, shape in shapes.items():
            end, g = begin + shape.numel(), group_of.get(name)
            if g is not None and name in stepped:
                if self.cuts and self.cuts[-1][0] == g and self.cuts[-1][1].stop == begin:
                    self.cuts[-1] = (g, slice(self.cuts[-1][1].start, end))
                else:
                    self.cuts.append((g, slice(begin, end)))
            begin = end


class RowOptions:
    """The hyperparameters of the rows, in the user's optimisers: one for all rows, or one a row."""

    def __init__(self, optimizers: Sequence[Any]):
        self.optimizers = optimizers

    @property
    def shared(self) -> bool:
        return len(self.optimizers) == 1

    def optimizer_of(self, row: int) -> Any:
        return self.optimizers[0 if self.shared else row]

    def lr(self, group: int, row_numbers: np.ndarray, like: Tensor) -> float | Tensor:
        """The learning rates of a parameter group: a number where all rows share it, else (n, 1)."""
        if self.shared:
            return float(self.optimizers[0].param_groups[group]["lr"])
        rates = [float(self.optimizers[r].param_groups[group]["lr"]) for r in row_numbers]
        return rates[0] if len(set(rates)) == 1 else to_device_of(like, np.array(rates)).to(like.dtype)[:, None]

    def groups_of_equal_rows(
        self, row_numbers: np.ndarray, counts: np.ndarray, with_lr: bool
    ) -> list[tuple[np.ndarray, int]]:
        """(positions in `row_numbers`, count) for each group of rows with equal counts and hyperparameters.

        Args:
            counts: (n,) steps that each row has taken.
            with_lr: the learning rates have to be equal, too.
        """
        groups: dict[Any, list[int]] = {}
        for i, (row, count) in enumerate(zip(row_numbers, counts, strict=True)):
            options = 0 if self.shared else hyperparameters(self.optimizer_of(int(row)), with_lr)
            groups.setdefault((int(count), options), []).append(i)
        return [(np.array(positions), count) for (count, _), positions in groups.items()]


def hyperparameters(optimizer: Any, with_lr: bool) -> Any:
    """What has to be equal for rows that are stepped in one call; hashable."""
    not_compared = tuple(n for n in _NOT_COMPARED if not (with_lr and n == "lr"))
    return tuple(
        tuple((k, float(v) if torch.is_tensor(v) else v) for k, v in sorted(g.items()) if k not in not_compared)
        for g in optimizer.param_groups
    )


class StackedOptimizer(ABC):
    def __init__(self, options: RowOptions, clients: int):
        self.options, self.clients = options, clients

    @abstractmethod
    def step(
        self, rows: Rows, row_numbers: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        """Step `weights` in place.

        Args:
            rows: n rows of the stack; a slice is a front of the stack.
            row_numbers: (n,) the same rows as numbers.
            counts: (n,) steps that each row has taken.
            weights, gradient: (n, P); `weights` is a view of the stack's where `rows` is a slice.
        """
