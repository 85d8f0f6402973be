"""FedDyn: Acar et al. 2021 (Federated Learning Based on Dynamic Regularization), algorithm 1.

Client k minimises L_k(theta) - <g_k, theta> + alpha/2 |theta - theta^{t-1}|^2 by its epochs of SGD; then
g_k = g_k - alpha (theta_k - theta^{t-1}). h = h - alpha / m sum_k (theta_k - theta^{t-1}) over the cohort, m all
clients, and theta^t = mean theta_k - h / alpha.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{"alpha": 0.3}, {"alpha": 0.05, "weighting": "examples"}, {}]


def federate(problem: Problem, alpha: float = 0.1, weighting: str = "uniform") -> Outcome:
    theta, s = problem.weights, problem.statistics
    h = {name: torch.zeros_like(value) for name, value in theta.items()}
    g = [h] * problem.N
    for t, cohort in problem.rounds():
        trained, statistics = {}, {}
        for k in cohort:
            slope = Regularised(problem, g[k], theta, alpha)
            trained[k], statistics[k] = problem.train(theta, s, t, k, slope=slope)
            g[k] = {n: g[k][n] - alpha * (trained[k][n] - theta[n]) for n in theta}
        p = problem.shares(cohort, weighting)
        mean = combined(p, trained)
        h = {n: h[n] - alpha * len(cohort) / problem.N * (mean[n] - theta[n]) for n in h}
        theta = {n: mean[n] - h[n] / alpha for n in mean}
        s = combined(p, statistics)
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
