"""Algorithm 2 of Reddi et al. 2021 (Adaptive Federated Optimization), for the oracles of its three versions.

m_t = beta_1 m_{t-1} + (1 - beta_1) Delta_t, v_t by version, x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau);
m_{-1} = 0 and v_{-1} = tau^2, the least that the algorithm allows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem
from tests.oracles.server_rules import rounds_with

Second = Callable[[Tensor, Tensor], Tensor]  # (v_{t-1}, Delta_t^2) -> v_t


def adaptive(problem: Problem, second: Second, eta: float, beta_1: float, tau: float, weighting: str) -> Outcome:
    m = {name: torch.zeros_like(value) for name, value in problem.weights.items()}
    v = {name: torch.full_like(value, tau * tau) for name, value in problem.weights.items()}

    def ascend(x: Named, change: Named) -> Named:
        result = {}
        for name, start in x.items():
            m[name] = beta_1 * m[name] + (1 - beta_1) * change[name]
            v[name] = second(v[name], change[name] * change[name])
            result[name] = start + eta * m[name] / (v[name].sqrt() + tau)
        return result

    return rounds_with(ascend, problem, weighting)
