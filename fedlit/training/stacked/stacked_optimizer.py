"""The user's optimiser over the weights of a stack of clients, (K, P), stepped for some rows at a time.

An elementwise optimiser does not care that its parameters have a leading client axis. What rows may differ in is how
many steps they have behind them (Adam's bias correction, momentum's first step) and, under a scheduler, their learning
rates. SGD, Adam and AdamW are written out with a number a row, so that one call steps all rows; any other optimiser of
torch's form is called once for the rows that are alike.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW

from fedlit.randomness import keyed_uniform
from fedlit.user_module.module_snapshot import differ

Rows = slice | Tensor
_FREE = ("params", "lr", "initial_lr", "max_lr", "min_lr", "foreach", "fused", "capturable", "differentiable")


def to_device_of(like: Tensor, numbers: np.ndarray) -> Tensor:
    """Numbers on a tensor's device, without waiting for the device."""
    return torch.from_numpy(numbers).to(like.device, non_blocking=True)


class Runs:
    """Where the weights that an optimiser steps lie in the vector: for each group its contiguous runs."""

    def __init__(self, groups: Sequence[Sequence[str]], moved: Sequence[str], shapes: Mapping[str, torch.Size]):
        group_of = {name: g for g, names in enumerate(groups) for name in names}
        self.cuts: list[tuple[int, slice]] = []  # (group, positions)
        at = 0
        for name, shape in shapes.items():
            end, g = at + shape.numel(), group_of.get(name)
            if g is not None and name in moved:
                if self.cuts and self.cuts[-1][0] == g and self.cuts[-1][1].stop == at:
                    self.cuts[-1] = (g, slice(self.cuts[-1][1].start, end))
                else:
                    self.cuts.append((g, slice(at, end)))
            at = end


class RowRates:
    """Learning rates and other hyperparameters of the rows: one optimiser object for all, or one a row."""

    def __init__(self, made: Sequence[Any]):
        self.made = made

    def of(self, row: int) -> Any:
        return self.made[row if len(self.made) > 1 else 0]

    def lr(self, group: int, at: np.ndarray, like: Tensor) -> float | Tensor:
        """A number where all rows share it, else (n, 1)."""
        if len(self.made) == 1:
            return float(self.made[0].param_groups[group]["lr"])
        rates = [float(self.made[r].param_groups[group]["lr"]) for r in at]
        return rates[0] if len(set(rates)) == 1 else to_device_of(like, np.array(rates)).to(like.dtype)[:, None]

    def alike(self, at: np.ndarray, counts: np.ndarray, with_lr: bool) -> list[tuple[np.ndarray, int]]:
        """Positions in `at` of rows with equal counts and hyperparameters, and their count."""
        found: dict[Any, list[int]] = {}
        for i, (row, count) in enumerate(zip(at, counts, strict=True)):
            found.setdefault((int(count), _hyper(self.of(int(row)), with_lr) if len(self.made) > 1 else 0), []).append(
                i
            )
        return [(np.array(inside), key[0]) for key, inside in found.items()]


def _hyper(optimizer: Any, with_lr: bool) -> Any:
    free = tuple(n for n in _FREE if not (with_lr and n == "lr"))
    return tuple(
        tuple((k, float(v) if torch.is_tensor(v) else v) for k, v in sorted(g.items()) if k not in free)
        for g in optimizer.param_groups
    )


class StackedOptimizer(ABC):
    def __init__(self, rates: RowRates, clients: int):
        self.rates, self.clients = rates, clients

    @abstractmethod
    def step(
        self, rows: Rows, at: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        """Move `weights` in place.

        Args:
            rows: which rows of the stack these are; a slice is a front of the stack.
            at: (n,) the same as numbers.
            counts: (n,) the steps behind each.
            weights, gradient: (n, P); `weights` is a view of the stack's where `rows` is a slice.
        """


def stacked_optimizer(made: Sequence[Any], clients: int) -> StackedOptimizer:
    """For the user's optimiser, made once for all clients or once for each.

    Raises:
        TypeError: it has hooks, which would be called for all rows at once or not at all, or is not elementwise.
    """
    rates = RowRates(made)
    own_step = vars(made[0]).get("step")
    if own_step is not None and not hasattr(own_step, "_wrapped_by_lr_sched"):
        raise TypeError("the optimiser has a step put onto it")
    if made[0]._optimizer_step_pre_hooks or made[0]._optimizer_step_post_hooks:
        raise TypeError("the optimiser has hooks")
    kind = type(made[0])
    tensors = any(torch.is_tensor(g["lr"]) or g.get("differentiable") for g in made[0].param_groups)
    if kind is SGD and not tensors:
        return _Sgd(rates, clients)
    if kind in (Adam, AdamW) and not tensors and not any(torch.is_tensor(b) for b in made[0].param_groups[0]["betas"]):
        return _Adam(rates, clients)
    if not _elementwise(made[0]):
        raise TypeError(f"the optimiser, {kind.__name__}, does not move each weight by itself")
    return _AsItIs(rates, clients)


_known: dict[Any, bool] = {}  # by kind of optimiser and its hyperparameters


def _elementwise(made: Any) -> bool:
    """Whether each weight moves by its own gradients alone, be they small or large.

    A few steps of the fit would not show an optimiser that cuts large gradients by their norm.
    """
    kind = type(made), _hyper(made, with_lr=False)
    if kind not in _known:
        _known[kind] = all(_moves_alone(made, size) for size in (1e-3, 1.0, 1e3))
    return _known[kind]


def _moves_alone(made: Any, size: float) -> bool:
    """Three steps of two rows with two weights a group: together, and for one weight of each group by itself."""
    names = [str(g) for g in range(len(made.param_groups))]
    wide = 2 * len(names)
    noise = keyed_uniform(0, torch.arange(8 * wide).view(4, 2, wide), torch.float64) - 0.5

    def moved(row: slice, column: slice, runs: Runs) -> Tensor:
        weights, gradients = noise[0, row, column].clone(), size * noise[1:, row, column]
        at = np.arange(len(weights))
        optimizer = _AsItIs(RowRates([made]), len(at))
        for count, gradient in enumerate(gradients):
            optimizer.step(slice(0, len(at)), at, np.full(len(at), count), weights, gradient, runs)
        return weights

    groups = [[n] for n in names]
    together = moved(slice(0, 2), slice(0, wide), Runs(groups, names, dict.fromkeys(names, torch.Size([2]))))
    for g, name in enumerate(names):
        one = slice(2 * g, 2 * g + 1)
        alone = moved(slice(0, 1), one, Runs(groups, names, {name: torch.Size([1])}))
        if not torch.allclose(alone, together[:1, one], rtol=1e-9, atol=1e-12):
            return False
    return True


class _WrittenOut(StackedOptimizer):
    """State by name: (K, run) for each run of the weights."""

    def __init__(self, rates: RowRates, clients: int):
        super().__init__(rates, clients)
        self.state: dict[tuple[str, int], Tensor] = {}

    def step(
        self, rows: Rows, at: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        if len(self.rates.made) > 1:
            parts = self.rates.alike(at, np.zeros(len(at)), with_lr=False)
            if len(parts) > 1:  # a scheduler that moves momentum or betas, too
                for inside, _ in parts:
                    index = to_device_of(weights, inside)
                    moved = weights[index]
                    which = to_device_of(weights, at[inside])
                    self._group(which, at[inside], counts[inside], moved, gradient[index], runs)
                    weights[index] = moved
                return
        self._group(rows, at, counts, weights, gradient, runs)

    def _group(
        self, rows: Rows, at: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        for group, run in runs.cuts:
            options = self.rates.of(int(at[0])).param_groups[group]
            lr = self.rates.lr(group, at, weights)
            w, g = weights[:, run], gradient[:, run]
            if options.get("maximize"):
                g = -g
            self._run(rows, counts, w, g, lr, options, run.start)

    @abstractmethod
    def _run(
        self, rows: Rows, counts: np.ndarray, w: Tensor, g: Tensor, lr: float | Tensor, options: Any, place: int
    ) -> None: ...

    def _kept(self, name: str, place: int, like: Tensor) -> Tensor:
        if (name, place) not in self.state:
            self.state[name, place] = like.new_zeros(self.clients, like.shape[1])
        return self.state[name, place]


class _Sgd(_WrittenOut):
    """torch.optim.SGD."""

    def _run(
        self, rows: Rows, counts: np.ndarray, w: Tensor, g: Tensor, lr: float | Tensor, options: Any, place: int
    ) -> None:
        if options["weight_decay"]:
            g = g.add(w, alpha=options["weight_decay"])
        if options["momentum"]:
            kept = self._kept("momentum", place, w)
            moved = kept[rows]
            first = counts == 0
            if first.all():
                moved = g.clone()
            else:
                before = moved
                moved = before * options["momentum"] + g * (1 - options["dampening"])
                if first.any():
                    begins = to_device_of(w, first)[:, None]
                    moved = torch.where(begins, g, moved)
            kept[rows] = moved
            g = g.add(moved, alpha=options["momentum"]) if options["nesterov"] else moved
        if torch.is_tensor(lr):
            w.sub_(lr * g)
        else:
            w.add_(g, alpha=-lr)


class _Adam(_WrittenOut):
    """torch.optim.Adam and AdamW, amsgrad included."""

    def _run(
        self, rows: Rows, counts: np.ndarray, w: Tensor, g: Tensor, lr: float | Tensor, options: Any, place: int
    ) -> None:
        beta1, beta2 = options["betas"]
        decay = options["weight_decay"]
        if decay and (options.get("decoupled_weight_decay") or isinstance(self.rates.made[0], AdamW)):
            w.mul_(1 - lr * decay)
        elif decay:
            g = g.add(w, alpha=decay)
        first, second = self._kept("first", place, w), self._kept("second", place, w)
        m, v = first[rows], second[rows]
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        top = v
        if options["amsgrad"]:
            highest = self._kept("highest", place, w)
            top = torch.maximum(highest[rows], v)
            highest[rows] = top
        if not isinstance(rows, slice):
            first[rows], second[rows] = m, v
        t = counts + 1.0
        left, right = 1 - beta1**t, np.sqrt(1 - beta2**t)
        if (counts == counts[0]).all() and not torch.is_tensor(lr):
            w.addcdiv_(m, top.sqrt().div_(float(right[0])).add_(options["eps"]), value=-lr / float(left[0]))
            return
        scale, root = (to_device_of(w, n).to(w.dtype)[:, None] for n in (1 / left, 1 / right))
        w.sub_(m.div(top.sqrt().mul_(root).add_(options["eps"])).mul_(scale * lr))


class _AsItIs(StackedOptimizer):
    """Any other elementwise optimiser: its own `step` over (n, run) tensors, for rows of one count at a time."""

    def __init__(self, rates: RowRates, clients: int):
        super().__init__(rates, clients)
        self.shell = object.__new__(type(rates.made[0]))  # copy.copy would leave out attributes of its own
        self.shell.__dict__.update(vars(rates.made[0]))
        self.shell.__dict__.pop("step", None)  # a scheduler's wrapping
        self._own = copy.deepcopy(self._attributes())
        self.state: dict[int, dict[str, Tensor]] = {}  # by run: key -> (K, run)
        self.scalars: dict[tuple[int, int], dict[str, Any]] = {}  # by run and count: what depends on the count alone
        self.by_row: dict[int, list[dict[str, Any]]] = {}  # the same with a scheduler: by run, a row each

    def step(
        self, rows: Rows, at: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        for inside, count in self.rates.alike(at, counts, with_lr=True):
            if len(inside) == len(at) and isinstance(rows, slice):
                self._some(rows, at, count, weights, gradient, runs)
                continue
            index = to_device_of(weights, inside)
            moved = weights[index]
            which = to_device_of(weights, at[inside])
            self._some(which, at[inside], count, moved, gradient[index], runs)
            weights[index] = moved

    def _some(self, rows: Rows, at: np.ndarray, count: int, weights: Tensor, gradient: Tensor, runs: Runs) -> None:
        made, shell = self.rates.of(int(at[0])), self.shell
        params = [weights[:, run].detach() for _, run in runs.cuts]
        shell.param_groups = [{**g, "params": [], "foreach": False, "fused": None} for g in made.param_groups]
        shell.state = type(made.state)(dict)
        for p, (group, run) in zip(params, runs.cuts, strict=True):
            p.grad = gradient[:, run]
            shell.param_groups[group]["params"].append(p)
            if count:
                kept = {k: v[rows] for k, v in self.state.get(run.start, {}).items()}
                shell.state[p] = kept | copy.deepcopy(self._scalars(run.start, int(at[0]), count))
        options = [dict(g) for g in shell.param_groups]
        type(shell).step(shell)
        self._kept_nothing(options)
        for p, (_, run) in zip(params, runs.cuts, strict=True):
            left: dict[str, Any] = {}
            for key, value in shell.state[p].items():
                if not torch.is_tensor(value) or value.dim() == 0:
                    left[key] = value
                    continue
                whole = self.state.setdefault(run.start, {})
                if key not in whole:
                    whole[key] = torch.zeros(self.clients, *value.shape[1:], dtype=value.dtype, device=value.device)
                whole[key][rows] = value
            self._keep_scalars(run.start, at, count + 1, left)

    def _kept_nothing(self, options: list[dict[str, Any]]) -> None:
        """What the optimiser keeps outside its state is one for all rows.

        Args:
            options: the groups before the step.
        """
        for before, now in zip(options, self.shell.param_groups, strict=True):
            if before.keys() != now.keys() or any(now[k] is not before[k] for k in before):
                raise TypeError("the optimiser keeps something in its groups")
        if differ(self._own, self._attributes()):
            raise TypeError("the optimiser keeps something on itself")

    def _attributes(self) -> dict[str, Any]:
        return {n: v for n, v in vars(self.shell).items() if n not in ("state", "param_groups")}

    def _scalars(self, place: int, row: int, count: int) -> dict[str, Any]:
        if len(self.rates.made) == 1:
            return self.scalars.get((place, count), {})
        return self.by_row[place][row]

    def _keep_scalars(self, place: int, at: np.ndarray, count: int, left: dict[str, Any]) -> None:
        if len(self.rates.made) == 1:
            self.scalars[place, count] = left
            return
        mine = self.by_row.setdefault(place, [{} for _ in range(self.clients)])
        for row in at:
            mine[int(row)] = left
