"""FedAvgM: Hsu et al. 2019, section 4.3: v = beta v + Delta w, w = w - v, Delta w the weighted mean of w_t - w_k."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Named, Outcome, Problem
from tests.oracles.server_rules import rounds_with, zeros

CASES: list[dict[str, Any]] = [{"beta": 0.7, "eta": 0.5}, {"beta": 0.95, "weighting": "uniform"}, {}]


def federate(problem: Problem, beta: float = 0.9, eta: float = 1.0, weighting: str = "examples") -> Outcome:
    v = zeros(problem.weights)

    def descend(w: Named, change: Named) -> Named:
        for name in w:
            v[name] = beta * v[name] - change[name]
        return {name: w[name] - eta * v[name] for name in w}

    return rounds_with(descend, problem, weighting)
