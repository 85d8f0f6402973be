"""SGD, Adam and AdamW, written out with a step count and a learning rate a row: one call steps all rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from fedlit.device_copies import to_device_of
from fedlit.training.stacked.optimizer_rows import RowOptions, Rows, Runs, StackedOptimizer


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


class RowwiseSgd(_RowwiseOptimizer):
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


class RowwiseAdam(_RowwiseOptimizer):
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
