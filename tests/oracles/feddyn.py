"""FedDyn: Acar et al. 2021 (Federated Learning Based on Dynamic Regularization), algorithm 1.

Client k minimises L_k(theta) - <g_k, theta> + alpha/2 |theta - theta^{t-1}|^2 by its epochs of SGD; then
g_k = g_k - alpha (theta_k - theta^{t-1}). h = h - alpha / m sum_{k in P_t} (theta_k - theta^{t-1}), m all clients, and
theta^t = 1 / |P_t| sum_{k in P_t} theta_k - h / alpha. A factor f of the server's learning rate is the share of the way
from theta^{t-1} to this theta^t. With `examples` a client counts n_k |P_t| / sum n times in both sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem

POSED = {"server_factors": [0.5, 1.0, 0.7]}
CASES: list[dict[str, Any]] = [{"alpha": 0.3}, {"alpha": 0.05, "weighting": "examples"}, {}]


def federate(problem: Problem, alpha: float = 0.1, weighting: str = "uniform") -> Outcome:
    theta, s, m = problem.weights, problem.statistics, problem.N
    h = {name: torch.zeros_like(value) for name, value in theta.items()}
    g = [h] * m
    for t, active in problem.rounds():
        models, statistics = {}, {}
        for k in active:
            slope = Regularised(problem, g[k], theta, alpha)
            models[k], statistics[k] = problem.train(theta, s, t, k, slope=slope)
            g[k] = {n: g[k][n] - alpha * (models[k][n] - theta[n]) for n in theta}
        size = len(active)
        times = {k: size * share for k, share in problem.shares(active, weighting).items()}  # 1 each by the paper
        h = {n: h[n] - alpha / m * sum(times[k] * (models[k][n] - theta[n]) for k in active) for n in h}
        full = {n: sum(times[k] * models[k][n] for k in active) / size - h[n] / alpha for n in h}
        theta = {n: theta[n] + problem.server_factor(t) * (full[n] - theta[n]) for n in theta}
        s = {n: sum(times[k] * statistics[k][n] for k in active) / size for n in s}
    return Outcome(weights=theta, statistics=s)


class Regularised:
    """The gradient of the regularised risk, by automatic differentiation of it."""

    def __init__(self, problem: Problem, g: Named, centre: Named, alpha: float):
        self.problem, self.g, self.centre, self.alpha = problem, g, centre, alpha

    def __call__(self, theta: Named, inputs: Tensor, targets: Tensor) -> Named:
        free = {n: value.detach().clone().requires_grad_() for n, value in theta.items()}
        risk = self.problem.loss(free, inputs, targets)
        for n, value in free.items():
            risk = risk - (self.g[n] * value).sum() + self.alpha / 2 * (value - self.centre[n]).pow(2).sum()
        return dict(zip(free, torch.autograd.grad(risk, list(free.values())), strict=True))
