"""FedPer: Arivazhagan et al. 2019, algorithms 1 and 2. The base is averaged, the head stays."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{}, {"head": "body", "weighting": "uniform"}]


def federate(problem: Problem, head: str = "head", weighting: str = "examples") -> Outcome:
    first: Named = {**problem.weights, **problem.statistics}
    base = {name: t for name, t in first.items() if not name.startswith(head)}
    heads = {k: {name: t for name, t in first.items() if name.startswith(head)} for k in range(problem.N)}

    def parts(k: int) -> tuple[Named, Named]:
        """Weights and statistics of client k's model."""
        model = {**base, **heads[k]}
        return {name: model[name] for name in problem.weights}, {name: model[name] for name in problem.statistics}

    for t, cohort in problem.rounds():
        trained = {}
        for k in cohort:
            w, s = problem.train(*parts(k), t, k)
            trained[k] = {**w, **s}
            heads[k] = {name: trained[k][name] for name in heads[k]}
        p = problem.shares(cohort, weighting)
        base = combined(p, {k: {name: trained[k][name] for name in base} for k in cohort})
    models = [parts(k) for k in range(problem.N)]
    return Outcome(personal=[w for w, _ in models], personal_statistics=[s for _, s in models])
