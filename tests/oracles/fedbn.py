"""FedBN: Li et al. 2021, algorithm 1. Every layer but the normalisation is averaged."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Outcome, Problem

CASES: list[dict[str, Any]] = [{}, {"weighting": "uniform"}, {"local": ["head"]}]


def federate(problem: Problem, local: list[str] | None = None, weighting: str = "examples") -> Outcome:
    stays = ["norm", *(local or [])]
    models = [(problem.weights, problem.statistics)] * problem.N
    average = problem.weights
    for t, cohort in problem.rounds():
        before = {k: {n: models[k][0][n] if n.split(".")[0] in stays else average[n] for n in average} for k in cohort}
        for k in cohort:
            models[k] = problem.train(before[k], models[k][1], t, k)
        p = problem.shares(cohort, weighting)
        average = {n: sum(p[k] * models[k][0][n] for k in cohort) for n in average}
    personal = [{n: w[n] if n.split(".")[0] in stays else average[n] for n in w} for w, _ in models]
    federated = not any(n.split(".")[0] in stays for n in average)  # nothing stays: it is FedAvg
    return Outcome(
        weights=average if federated else None,
        personal=personal,
        personal_statistics=[s for _, s in models] if problem.statistics else None,
    )
