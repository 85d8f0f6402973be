"""pFedMe: Dinh et al. 2020, algorithm 1.

For each batch D, theta minimises f(theta; D) + lambda/2 |theta - w|^2 by K gradient steps, and
w = w - eta lambda (w - theta). The server takes (1 - beta) w + beta times the mean.

A client would use theta for the received w and all its samples, in evaluation.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"lam": 5.0, "K": 3, "personal_lr": 0.04},
    {"lam": 10.0, "K": 2, "personal_lr": 0.02, "beta": 0.5, "weighting": "uniform"},
    {},
]


def federate(
    problem: Problem,
    lam: float = 15.0,
    K: int = 5,
    personal_lr: float = 0.05,
    beta: float = 1.0,
    weighting: str = "examples",
) -> Outcome:
    def nearest(v: Named, x: Tensor, y: Tensor, statistics: Named | None = None) -> Named:
        theta = v
        for _ in range(K):
            g = problem.gradient(theta, x, y, statistics)
            theta = {n: theta[n] - personal_lr * (g[n] + lam * (theta[n] - v[n])) for n in v}
        return theta

    def envelope_gradient(v: Named, x: Tensor, y: Tensor) -> Named:
        theta = nearest(v, x, y)
        return {n: lam * (v[n] - theta[n]) for n in v}

    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        local = {i: problem.train(w, s, t, i, slope=envelope_gradient) for i in cohort}
        p = problem.shares(cohort, weighting)
        mean = combined(p, {i: pair[0] for i, pair in local.items()})
        w = {n: (1 - beta) * w[n] + beta * mean[n] for n in w}
        s = combined(p, {i: pair[1] for i, pair in local.items()})
    personal = [nearest(w, *problem.samples(i), s or None) for i in range(problem.N)]
    return Outcome(weights=w, statistics=s, personal=personal, personal_statistics=[s] * problem.N if s else None)
