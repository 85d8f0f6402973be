"""Ditto: Li et al. 2021, algorithm 1, with FedAvg as the global solver.

In a round a client updates w from the received w^t, and takes steps of its own model v along
gradient F_k(v) + lambda (v - w^t).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"lam": 0.7},
    {"lam": 0.1, "personal_epochs": 3, "weighting": "uniform"},
    {"lam": 0.0, "personal_epochs": 1},
]


def federate(problem: Problem, lam: float, personal_epochs: int | None = None, weighting: str = "examples") -> Outcome:
    w, s = problem.weights, problem.statistics
    v = [(w, s) for _ in range(problem.N)]
    for t, cohort in problem.rounds():
        solved = {k: problem.train(w, s, t, k, fit=0) for k in cohort}
        for k in cohort:
            slope = partial(personal_slope, problem, lam, w)
            v[k] = problem.train(*v[k], t, k, fit=1, epochs=personal_epochs, slope=slope)
        p = problem.shares(cohort, weighting)
        w, s = (combined(p, {k: pair[part] for k, pair in solved.items()}) for part in (0, 1))
    return Outcome(
        weights=w,
        statistics=s,
        personal=[model for model, _ in v],
        personal_statistics=[statistics for _, statistics in v] if s else None,
    )


def personal_slope(problem: Problem, lam: float, reference: Named, v: Named, x: Tensor, y: Tensor) -> Named:
    g = problem.gradient(v, x, y)
    return {name: g[name] + lam * (v[name] - reference[name]) for name in v}
