"""FedRep: Collins et al. 2021, algorithm 1. The head is trained first, with the body at rest, then the body."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"head_epochs": 3},
    {"head_epochs": 1, "weighting": "uniform"},
    {"head_epochs": 2, "head": "[bn]o*"},  # body, and norm if there is one
]


def federate(problem: Problem, head_epochs: int, head: str = "head", weighting: str = "examples") -> Outcome:
    in_head = {n for n in problem.weights if fnmatchcase(n.split(".")[0], head)}
    phi: Named = {n: v for n, v in problem.weights.items() if n not in in_head}
    h = [{n: v for n, v in problem.weights.items() if n in in_head} for _ in range(problem.N)]
    kept_statistics = "norm.weight" in in_head
    shared = problem.statistics
    own = [problem.statistics] * problem.N
    for t, cohort in problem.rounds():
        bodies, statistics = {}, {}
        for i in cohort:
            s = own[i] if kept_statistics else shared
            w, s_after = problem.train({**phi, **h[i]}, s, t, i, fit=0, epochs=head_epochs, only=list(h[i]))
            h[i] = {n: w[n] for n in h[i]}
            if kept_statistics:  # they move with the layer that they belong to
                own[i] = s = s_after
            w, s_after = problem.train(w, s, t, i, fit=1, only=list(phi))
            bodies[i] = {n: w[n] for n in phi}
            statistics[i] = s if kept_statistics else s_after
        p = problem.shares(cohort, weighting)
        phi, shared = combined(p, bodies), combined(p, statistics)
    return Outcome(
        personal=[{**phi, **h[i]} for i in range(problem.N)],
        personal_statistics=[own[i] if kept_statistics else shared for i in range(problem.N)] if shared else None,
    )
