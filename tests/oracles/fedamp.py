"""FedAMP: Huang et al. 2021 (Personalized Cross-Silo Federated Learning on Non-IID Data), algorithm 1.

The server has u_i = (1 - alpha sum_j A'_ij) w_i + alpha sum_j A'_ij w_j over all other clients j, where A'_ij is the
derivative of A(x) = 1 - exp(-x / sigma) at x = ||w_i - w_j||^2. Client i minimises
F_i(w) + lambda / (2 alpha) ||w - u_i||^2.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem

CASES: list[dict[str, Any]] = [
    {"alpha": 0.2, "lam": 0.3, "sigma": 0.5},
    {"alpha": 0.4, "lam": 0.3, "sigma": 2.0},
    {"alpha": 0.2, "lam": 0.1, "sigma": 0.5},
]


def federate(problem: Problem, alpha: float = 1e4, lam: float = 1.0, sigma: float = 1e6) -> Outcome:
    w = [problem.weights for _ in range(problem.N)]
    s = [problem.statistics for _ in range(problem.N)]
    for t, cohort in problem.rounds():
        u = {i: message(w, i, alpha, sigma) for i in cohort}
        for i in cohort:
            w[i], s[i] = problem.train(w[i], s[i], t, i, slope=partial(pulled, problem, lam / alpha, u[i]))
    return Outcome(personal=w, personal_statistics=s if problem.statistics else None)


def message(w: list[Named], i: int, alpha: float, sigma: float) -> Named:
    attention = {}
    for j in range(len(w)):
        if j != i:
            squared = sum(float(((w[i][n] - w[j][n]) ** 2).sum()) for n in w[i])
            attention[j] = alpha * math.exp(-squared / sigma) / sigma
    rest = 1 - sum(attention.values())
    return {n: rest * w[i][n] + sum(a * w[j][n] for j, a in attention.items()) for n in w[i]}


def pulled(problem: Problem, strength: float, u: Named, w: Named, x: Tensor, y: Tensor) -> Named:
    """The gradient of the client's objective, by automatic differentiation."""
    free = {n: v.clone().requires_grad_() for n, v in w.items()}
    penalty = sum((free[n] - u[n]).pow(2).sum() for n in w)
    value = problem.loss(free, x, y) + strength / 2 * penalty
    return dict(zip(free, torch.autograd.grad(value, list(free.values())), strict=True))
