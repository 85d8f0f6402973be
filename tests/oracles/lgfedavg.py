"""LG-FedAvg: Liang et al. 2020, algorithm 1. Local representations stay, the global layers are averaged by samples."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from tests.oracles.problem import Named, Outcome, Problem

CASES: list[dict[str, Any]] = [{}, {"weighting": "uniform"}, {"head": "[bn]o*"}]  # the last: norm, too, if there is one


def federate(problem: Problem, head: str = "head", weighting: str = "examples") -> Outcome:
    def is_global(name: str) -> bool:
        return fnmatchcase(name.partition(".")[0], head)

    first: Named = {**problem.weights, **problem.statistics}
    theta_g = {name: value for name, value in first.items() if is_global(name)}
    ell = [{name: value for name, value in first.items() if not is_global(name)} for _ in range(problem.N)]

    def model(m: int) -> tuple[Named, Named]:
        whole = {**ell[m], **theta_g}
        return {name: whole[name] for name in problem.weights}, {name: whole[name] for name in problem.statistics}

    for t, cohort in problem.rounds():
        returned = []
        p = problem.shares(cohort, weighting)
        for m in cohort:
            weights, statistics = problem.train(*model(m), t, m)
            both = {**weights, **statistics}
            ell[m] = {name: both[name] for name in ell[m]}
            returned.append({name: p[m] * both[name] for name in theta_g})
        theta_g = {name: sum(part[name] for part in returned) for name in theta_g}
    models = [model(m) for m in range(problem.N)]
    return Outcome(
        personal=[weights for weights, _ in models],
        personal_statistics=[statistics for _, statistics in models] if problem.statistics else None,
    )
