"""The user's optimiser over the weights of a stack of clients, (K, P), stepped for some rows at a time.

An elementwise optimiser can step parameters that have a leading client axis. Rows may differ in the number of steps
that they have taken (Adam's bias correction, momentum's first step) and, under a scheduler, in their learning rates.
SGD, Adam and AdamW are written out with one value a row, so that one call steps all rows. Any other elementwise
optimiser runs its own `step`, once for each group of rows that are equal in both.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW

from fedlit.device_copies import to_device_of
from fedlit.randomness import keyed_uniform
from fedlit.user_module.module_snapshot import differ

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
            options = 0 if self.shared else _hyperparameters(self.optimizer_of(int(row)), with_lr)
            groups.setdefault((int(count), options), []).append(i)
        return [(np.array(positions), count) for (count, _), positions in groups.items()]


def _hyperparameters(optimizer: Any, with_lr: bool) -> Any:
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


def stacked_optimizer(optimizers: Sequence[Any], clients: int) -> StackedOptimizer:
    """
    Args:
        optimizers: the user's optimiser, configured once for all clients or once for each.

    Raises:
        TypeError: it is not elementwise, or it has hooks, which would be called for all rows at once or not at all.
    """
    options, first = RowOptions(optimizers), optimizers[0]
    patched_step = vars(first).get("step")
    if patched_step is not None and not hasattr(patched_step, "_wrapped_by_lr_sched"):
        raise TypeError("the optimiser's step is monkey-patched")
    if first._optimizer_step_pre_hooks or first._optimizer_step_post_hooks:
        raise TypeError("the optimiser has hooks")
    kind = type(first)
    has_tensors = any(torch.is_tensor(g["lr"]) or g.get("differentiable") for g in first.param_groups)
    if kind is SGD and not has_tensors:
        return _Sgd(options, clients)
    if kind in (Adam, AdamW) and not has_tensors and not any(map(torch.is_tensor, first.param_groups[0]["betas"])):
        return _Adam(options, clients)
    if not _is_elementwise(first):
        raise TypeError(f"the optimiser, {kind.__name__}, does not move each weight by itself")
    return _TorchOptimizer(options, clients)


_known: dict[Any, bool] = {}  # by kind of optimiser and its hyperparameters


def _is_elementwise(optimizer: Any) -> bool:
    """Whether the step of each weight depends on its own gradients alone, small ones and large ones.

    A few steps of the fit would not show an optimiser that clips large gradients by their norm.
    """
    kind = type(optimizer), _hyperparameters(optimizer, with_lr=False)
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
        trial = _TorchOptimizer(RowOptions([optimizer]), n)
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


class _RowwiseOptimizer(StackedOptimizer):
    """An optimiser that is written out with a step count and a learning rate a row.

    Attributes:
        state: by name and by begin of a run of weights: (K, run).
    """

    def __init__(self, options: RowOptions, clients: int):
        super().__init__(options, clients)
        self.state: dict[tuple[str, int], Tensor] = {}

    def step(
        self, rows: Rows, row_numbers: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        if not self.options.shared:
            groups = self.options.groups_of_equal_rows(row_numbers, np.zeros(len(row_numbers)), with_lr=False)
            if len(groups) > 1:  # a scheduler that also changes momentum or betas
                for positions, _ in groups:
                    index, numbers = to_device_of(weights, positions), row_numbers[positions]
                    group_weights = weights[index]
                    group_rows = to_device_of(weights, numbers)
                    self._step_rows(group_rows, numbers, counts[positions], group_weights, gradient[index], runs)
                    weights[index] = group_weights
                return
        self._step_rows(rows, row_numbers, counts, weights, gradient, runs)

    def _step_rows(
        self, rows: Rows, row_numbers: np.ndarray, counts: np.ndarray, weights: Tensor, gradient: Tensor, runs: Runs
    ) -> None:
        """Step rows that share all hyperparameters but the learning rate."""
        for group, run in runs.cuts:
            options = self.options.optimizer_of(int(row_numbers[0])).param_groups[group]
            lr = self.options.lr(group, row_numbers, weights)
            w, g = weights[:, run], gradient[:, run]
            if options.get("maximize"):
                g = -g
            self._step_run(_RunStep(rows, row_numbers, counts, lr, options, run.start), w, g)

    @abstractmethod
    def _step_run(self, step: _RunStep, w: Tensor, g: Tensor) -> None:
        """Step one run of weights w (n, run) in place along the gradient g (n, run)."""

    def _state_of(self, name: str, begin: int, like: Tensor) -> Tensor:
        """(K, run), zeros at first."""
        if (name, begin) not in self.state:
            self.state[name, begin] = like.new_zeros(self.clients, like.shape[1])
        return self.state[name, begin]


@dataclass(frozen=True)
class _RunStep:
    """A step of n rows in one run of weights.

    Attributes:
        row_numbers: (n,) the rows as numbers.
        counts: (n,) steps that each row has taken.
        lr: a number, or (n, 1).
        options: of the parameter group.
        begin: first position of the run, the key of its state.
    """

    rows: Rows
    row_numbers: np.ndarray
    counts: np.ndarray
    lr: float | Tensor
    options: Any
    begin: int


class _Sgd(_RowwiseOptimizer):
    """torch.optim.SGD: learning rate gamma, weight decay lambda, momentum mu, dampening tau.

    g_t = g_t + lambda w_t
    b_1 = g_1, b_t = mu b_(t-1) + (1 - tau) g_t
    w_(t+1) = w_t - gamma b_t, with Nesterov's momentum w_t - gamma (g_t + mu b_t)

    Attributes:
        has_buffer: by begin of a run of weights: (K,) whether a row has b. It has none before its first step with
            momentum, which may be a later one under a scheduler.
    """

    def __init__(self, options: RowOptions, clients: int):
        super().__init__(options, clients)
        self.has_buffer: dict[int, np.ndarray] = {}

    def _step_run(self, step: _RunStep, w: Tensor, g: Tensor) -> None:
        rows, row_numbers, lr, options, begin = step.rows, step.row_numbers, step.lr, step.options, step.begin
        if options["weight_decay"]:
            g = g.add(w, alpha=options["weight_decay"])
        if options["momentum"]:
            buffer = self._state_of("momentum", begin, w)
            has_buffer = self.has_buffer.setdefault(begin, np.zeros(self.clients, dtype=bool))
            is_first = ~has_buffer[row_numbers]
            has_buffer[row_numbers] = True
            if is_first.all():
                b = g.clone()
            else:
                b = buffer[rows] * options["momentum"] + g * (1 - options["dampening"])
                if is_first.any():
                    b = torch.where(to_device_of(w, is_first)[:, None], g, b)
            buffer[rows] = b
            g = g.add(b, alpha=options["momentum"]) if options["nesterov"] else b
        if torch.is_tensor(lr):
            w.sub_(lr * g)
        else:
            w.add_(g, alpha=-lr)


class _Adam(_RowwiseOptimizer):
    """torch.optim.Adam and AdamW: learning rate gamma, weight decay lambda, with a step count t a row.

    Adam (Kingma & Ba 2015, Algorithm 1), with g_t = g_t + lambda w_t before it:

    m_t = beta_1 m_(t-1) + (1 - beta_1) g_t
    v_t = beta_2 v_(t-1) + (1 - beta_2) g_t^2
    w_(t+1) = w_t - gamma (m_t / (1 - beta_1^t)) / (sqrt(v_t / (1 - beta_2^t)) + epsilon)

    AdamW (Loshchilov & Hutter 2019) takes w_t = (1 - gamma lambda) w_t as its weight decay. AMSGrad (Reddi et al. 2018)
    takes max(v_1, ..., v_t) for v_t.
    """

    def _step_run(self, step: _RunStep, w: Tensor, g: Tensor) -> None:
        rows, counts, lr, options, begin = step.rows, step.counts, step.lr, step.options, step.begin
        beta1, beta2 = options["betas"]
        decay = options["weight_decay"]
        if decay and (options.get("decoupled_weight_decay") or isinstance(self.options.optimizers[0], AdamW)):
            w.mul_(1 - lr * decay)
        elif decay:
            g = g.add(w, alpha=decay)
        all_m, all_v = self._state_of("first", begin, w), self._state_of("second", begin, w)
        m, v = all_m[rows], all_v[rows]
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        largest_v = v
        if options["amsgrad"]:
            all_largest = self._state_of("highest", begin, w)
            largest_v = torch.maximum(all_largest[rows], v)
            all_largest[rows] = largest_v
        if not isinstance(rows, slice):
            all_m[rows], all_v[rows] = m, v
        t = counts + 1.0
        m_correction, v_correction = 1 - beta1**t, np.sqrt(1 - beta2**t)
        if (counts == counts[0]).all() and not torch.is_tensor(lr):
            denominator = largest_v.sqrt().div_(float(v_correction[0])).add_(options["eps"])
            w.addcdiv_(m, denominator, value=-lr / float(m_correction[0]))
            return
        m_scale, v_scale = (to_device_of(w, n).to(w.dtype)[:, None] for n in (1 / m_correction, 1 / v_correction))
        w.sub_(m.div(largest_v.sqrt().mul_(v_scale).add_(options["eps"])).mul_(m_scale * lr))


class _TorchOptimizer(StackedOptimizer):
    """Any other elementwise optimiser: its own `step` over (n, run) tensors, for rows of one step count at a time.

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
