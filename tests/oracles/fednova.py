"""FedNova: Wang et al. 2020 (Tackling the Objective Inconsistency Problem), equations 5 and 6 of its section 4.

x = x - tau_eff sum_i p_i eta d_i, d_i = G_i a_i / ||a_i||_1 and tau_eff = sum_i p_i ||a_i||_1, so that with
x - y_i = eta G_i a_i, eta d_i = (x - y_i) / ||a_i||_1. p_i = n_i / n over the cohort.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.applied import norm_of_a
from tests.oracles.problem import Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{}, {"weighting": "uniform"}]


def federate(problem: Problem, weighting: str = "examples") -> Outcome:
    x, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        p, directions, statistics = problem.shares(cohort, weighting), {}, {}
        lengths = {k: norm_of_a(problem, t, k) for k in cohort}
        for k in cohort:
            y, statistics[k] = problem.train(x, s, t, k)
            directions[k] = {n: (x[n] - y[n]) / lengths[k] for n in x}
        effective = sum(p[k] * lengths[k] for k in cohort)
        mean = combined(p, directions)
        x, s = {n: x[n] - effective * mean[n] for n in x}, combined(p, statistics)
    return Outcome(weights=x, statistics=s)
