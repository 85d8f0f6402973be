"""Any elementwise optimiser: its own `step`, once for each group of rows with equal step counts and hyperparameters."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.device_copies import to_device_of
from fedlit.randomness import keyed_uniform
from fedlit.training.stacked.optimizer_rows import RowOptions, Rows, Runs, StackedOptimizer, hyperparameters
from fedlit.user_module.module_snapshot import differ


class GroupwiseOptimizer(StackedOptimizer):
    """Calls the optimiser's `step` over (n, run) tensors, for rows of one step count at a time.

    Attributes:
        state: tensors of the optimiser's state, by begin of a run and by key: (K, run).
        scalars: its other values, by begin of a run and step count, on which alone they depend.
        scalars_of_row: the same under a scheduler, by begin of a run, one dict a row.
    """

    def __init__(self, options: RowOptions, clients: int):
        super().__init__(options, clients)
        self._shell = object.__new__(type(options.optimizers[0]))  # copy.copy would leave out attributes of a subclass
        self._shell.__dict__.update(vars(options.optimizers[0]))
        self._shell.__dict__.pop("step", None)  # the wrapper of a scheduler
        self._initial_attributes = copy.deepcopy(self._attributes())
        self.state: dict[int, dict[str, Tensor]] = {}
        self.scalars: dict[tuple[int, int], dict[str, Any]] = {}
        self.scalars_of_row: dict[int, list[dict[str, Any]]] = {}

    def step(
        self, rows: Rows, row_numbers: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        for positions, count in self.options.groups_of_equal_rows(row_numbers, counts, with_lr=True):
            if len(positions) == len(row_numbers) and isinstance(rows, slice):
                self._step_rows(rows, row_numbers, count, weights, gradient, runs)
                continue
            index, numbers = to_device_of(weights, positions), row_numbers[positions]
            group_weights = weights[index]
            self._step_rows(to_device_of(weights, numbers), numbers, count, group_weights, gradient[index], runs)
            weights[index] = group_weights

    def _step_rows(
        self, rows: Rows, row_numbers: np.ndarray, count: int, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        """Step rows with equal step counts and hyperparameters."""
        optimizer, shell = self.options.optimizer_of(int(row_numbers[0])), self._shell
        params = [weights[:, run].detach() for _, run in runs.cuts]
        shell.param_groups = [{**g, "params": [], "foreach": False, "fused": None} for g in optimizer.param_groups]
        shell.state = type(optimizer.state)(dict)
        for p, (group, run) in zip(params, runs.cuts, strict=True):
            p.grad = gradient[:, run]
            shell.param_groups[group]["params"].append(p)
            if count:
                tensors = {k: v[rows] for k, v in self.state.get(run.start, {}).items()}
                shell.state[p] = tensors | copy.deepcopy(self._scalars(run.start, int(row_numbers[0]), count))
            elif optimizer.state:
                shell.state[p] = _first_state(optimizer, group, p)
        groups_before = [dict(g) for g in shell.param_groups]
        type(shell).step(shell)
        self._check_stateless(groups_before)
        for p, (_, run) in zip(params, runs.cuts, strict=True):
            scalars: dict[str, Any] = {}
            for key, value in shell.state[p].items():
                if not torch.is_tensor(value) or value.dim() == 0:
                    scalars[key] = value
                    continue
                state = self.state.setdefault(run.start, {})
                if key not in state:
                    state[key] = torch.zeros(self.clients, *value.shape[1:], dtype=value.dtype, device=value.device)
                state[key][rows] = value
            self._save_scalars(run.start, row_numbers, count + 1, scalars)

    def _check_stateless(self, groups_before: list[dict[str, Any]]) -> None:
        """All rows would share what the optimiser keeps outside its `state`.

        Raises:
            TypeError: the step changed the parameter groups or attributes of the optimiser.
        """
        for before, after in zip(groups_before, self._shell.param_groups, strict=True):
            if before.keys() != after.keys() or any(after[k] is not before[k] for k in before):
                raise TypeError("the optimiser keeps something in its groups")
        if differ(self._initial_attributes, self._attributes()):
            raise TypeError("the optimiser keeps something on itself")

    def _attributes(self) -> dict[str, Any]:
        return {n: v for n, v in vars(self._shell).items() if n not in ("state", "param_groups")}

    def _scalars(self, begin: int, row: int, count: int) -> dict[str, Any]:
        if self.options.shared:
            return self.scalars.get((begin, count), {})
        return self.scalars_of_row[begin][row]

    def _save_scalars(self, begin: int, row_numbers: np.ndarray, count: int, scalars: dict[str, Any]) -> None:
        if self.options.shared:
            self.scalars[begin, count] = scalars
            return
        by_row = self.scalars_of_row.setdefault(begin, [{} for _ in range(self.clients)])
        for row in row_numbers:
            by_row[int(row)] = scalars


def _first_state(optimizer: Any, group: int, p: Tensor) -> dict[str, Any]:
    """The state that an optimiser gave to the weights of a group before any step, for a run p (n, run) of the group.

    torch.optim.Adagrad does so in `__init__` before torch 2.13, and optimisers of users may.

    Raises:
        TypeError: the group's weights begin with unequal values.
    """
    first: dict[str, Any] = {}
    for parameter in optimizer.param_groups[group]["params"]:
        for key, value in optimizer.state.get(parameter, {}).items():
            if torch.is_tensor(value) and value.dim() and value.shape == parameter.shape:
                filled: Any = torch.full_like(p, value.flatten()[0].item()) if value.numel() else torch.zeros_like(p)
                if not bool((value == value.flatten()[:1]).all()):
                    raise TypeError("the optimiser begins with a state that differs between weights")
            else:
                filled = copy.deepcopy(value)
            if key in first and differ(first[key], filled):
                raise TypeError("the optimiser begins with a state that differs between weights")
            first[key] = filled
    return first


_known: dict[Any, bool] = {}  # by kind of optimiser and its hyperparameters


def is_elementwise(optimizer: Any) -> bool:
    """Whether the step of each weight depends on its own gradients alone, small ones and large ones.

    A few steps of the fit would not show an optimiser that clips large gradients by their norm.
    """
    kind = type(optimizer), hyperparameters(optimizer, with_lr=False)
    if kind not in _known:
        _known[kind] = all(_steps_weights_separately(optimizer, size) for size in (1e-3, 1.0, 1e3))
    return _known[kind]


def _steps_weights_separately(optimizer: Any, gradient_size: float) -> bool:
    """Compares three steps of two rows with two weights a group with the steps of one weight of a group by itself."""
    names = [str(g) for g in range(len(optimizer.param_groups))]
    groups, width = [[n] for n in names], 2 * len(names)
    noise = keyed_uniform(0, torch.arange(8 * width).view(4, 2, width), torch.float64) - 0.5

    def stepped(rows: slice, columns: slice, runs: Runs) -> Tensor:
        weights, gradients = noise[0, rows, columns].clone(), gradient_size * noise[1:, rows, columns]
        n = len(weights)
        trial = GroupwiseOptimizer(RowOptions([optimizer]), n)
        for count, gradient in enumerate(gradients):
            trial.step(slice(0, n), np.arange(n), np.full(n, count), weights, gradient, runs)
        return weights

    together = stepped(slice(0, 2), slice(0, width), Runs(groups, names, dict.fromkeys(names, torch.Size([2]))))
    for g, name in enumerate(names):
        column = slice(2 * g, 2 * g + 1)
        alone = stepped(slice(0, 1), column, Runs(groups, names, {name: torch.Size([1])}))
        if not torch.allclose(alone, together[:1, column], rtol=1e-9, atol=1e-12):
            return False
    return True
