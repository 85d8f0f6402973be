"""pFedMe: Dinh et al. 2020, algorithm 1.

For each batch D, theta minimises f(theta; D) + lambda/2 |theta - w|^2 by K gradient steps, and
w = w - eta lambda (w - theta). The server takes (1 - beta) w + beta times the mean.

A client would use theta(w), the minimiser of f(theta) + lambda/2 |theta - w|^2 on all its samples: the local epochs of
SGD from the received w.
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
    def envelope_gradient(v: Named, x: Tensor, y: Tensor) -> Named:
        theta = v
        for _ in range(K):
            g = problem.gradient(theta, x, y)
            theta = {n: theta[n] - personal_lr * (g[n] + lam * (theta[n] - v[n])) for n in v}
        return {n: lam * (v[n] - theta[n]) for n in v}

    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        local = {i: problem.train(w, s, t, i, slope=envelope_gradient) for i in cohort}
        p = problem.shares(cohort, weighting)
        mean = combined(p, {i: pair[0] for i, pair in local.items()})
        w = {n: (1 - beta) * w[n] + beta * mean[n] for n in w}
        s = combined(p, {i: pair[1] for i, pair in local.items()})

    def prox_slope(theta: Named, x: Tensor, y: Tensor) -> Named:
        g = problem.gradient(theta, x, y)
        return {n: g[n] + lam * (theta[n] - w[n]) for n in theta}

    last = len(problem.cohorts)
    personal = [problem.train(w, s, last, i, slope=prox_slope, purpose="evaluate") for i in range(problem.N)]
    return Outcome(
        weights=w,
        statistics=s,
        personal=[theta for theta, _ in personal],
        personal_statistics=[statistics for _, statistics in personal] if s else None,
    )
