"""FedAMP: Huang et al. 2021 (Personalized Cross-Silo Federated Learning on Non-IID Data), algorithm 1.

The objective is sum_i F_i(w_i) + lambda sum_{i < j} A(||w_i - w_j||^2), A(x) = 1 - exp(-x / sigma). In round k the
server steps by alpha_k against the gradient of the second sum, to

    u_i = (1 - alpha_k sum_j A'_ij) w_i + alpha_k sum_j A'_ij w_j,  A'_ij the derivative of A at ||w_i - w_j||^2:

half of the gradient, by the paper's formula. Client i minimises F_i(w) + lambda / (2 alpha_k) ||w - u_i||^2. alpha_k is
alpha times the factor of the server's learning rate. Clients that are not asked keep w_i.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem

POSED = {"server_factors": [1.0, 0.5, 0.8]}
CASES: list[dict[str, Any]] = [
    {"alpha": 0.2, "lam": 0.3, "sigma": 0.5},
    {"alpha": 0.4, "lam": 0.3, "sigma": 2.0},
    {"alpha": 0.2, "lam": 0.1, "sigma": 0.5},
]


def federate(problem: Problem, alpha: float = 1e4, lam: float = 1.0, sigma: float = 1e6) -> Outcome:
    w = [problem.weights for _ in range(problem.N)]
    s = [problem.statistics for _ in range(problem.N)]
    for k, cohort in problem.rounds():
        alpha_k = alpha * problem.server_factor(k)
        u = [descended(w, i, alpha_k, sigma) for i in range(problem.N)]
        for i in cohort:
            w[i], s[i] = problem.train(w[i], s[i], k, i, slope=partial(pulled, problem, lam / alpha_k, u[i]))
    return Outcome(personal=w, personal_statistics=s if problem.statistics else None)


def descended(w: list[Named], i: int, alpha_k: float, sigma: float) -> Named:
    """u_i, by automatic differentiation of the sum over j of A."""
    free = {n: v.clone().requires_grad_() for n, v in w[i].items()}
    attention = torch.zeros((), dtype=torch.float64)
    for j, other in enumerate(w):
        if j != i:
            squared = sum((free[n] - other[n]).pow(2).sum() for n in free)
            attention = attention + 1 - torch.exp(-squared / sigma)
    slopes = torch.autograd.grad(attention, list(free.values()))
    return {n: w[i][n] - alpha_k * slope / 2 for n, slope in zip(free, slopes, strict=True)}


def pulled(problem: Problem, strength: float, u: Named, w: Named, x: Tensor, y: Tensor) -> Named:
    """The gradient of the client's objective, by automatic differentiation."""
    free = {n: v.clone().requires_grad_() for n, v in w.items()}
    penalty = sum((free[n] - u[n]).pow(2).sum() for n in w)
    value = problem.loss(free, x, y) + strength / 2 * penalty
    return dict(zip(free, torch.autograd.grad(value, list(free.values())), strict=True))
