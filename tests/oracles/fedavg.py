"""Federated averaging: McMahan et al. 2017, algorithm 1.

The server steps along the mean change by SGD with momentum (Reddi et al. 2021, algorithm 1).
"""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {},
    {"weighting": "uniform"},
    {"server_optimizer": {"lr": 0.5, "momentum": 0.9}},
]


def federate(
    problem: Problem, weighting: str = "examples", server_optimizer: dict[str, float] | None = None
) -> Outcome:
    settings = {"lr": 1.0, "momentum": 0.0, **(server_optimizer or {})}
    w, s = problem.weights, problem.statistics
    m = {name: 0 * t for name, t in w.items()}
    for t, cohort in problem.rounds():
        clients = {k: problem.train(w, s, t, k) for k in cohort}
        p = problem.shares(cohort, weighting)
        mean = combined(p, {k: clients[k][0] for k in cohort})
        m = {name: settings["momentum"] * m[name] + mean[name] - w[name] for name in w}
        w = {name: w[name] + settings["lr"] * m[name] for name in w}
        s = combined(p, {k: clients[k][1] for k in cohort})
    return Outcome(weights=w, statistics=s)
