"""APFL: Deng et al. 2020, algorithm 1. The mixture v_bar = alpha v + (1 - alpha) w of a client's and the global model.

w steps along grad f(w), v along the derivative of f(v_bar) by v, and alpha once a round along the derivative by alpha.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {},
    {"alpha": 0.3, "adaptive": False, "weighting": "uniform"},
    {"alpha": 1.0},
]


def federate(problem: Problem, alpha: float = 0.5, adaptive: bool = True, weighting: str = "examples") -> Outcome:
    share = [alpha] * problem.N
    v: list[Named] = [problem.weights] * problem.N
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        received = {}
        for i in cohort:
            is_first = [True]

            def slope(local: Named, x: Tensor, y: Tensor, i: int = i, is_first: list[bool] = is_first) -> Named:
                a = share[i]
                g_bar = problem.gradient(mixture(a, v[i], local), x, y)
                if adaptive and is_first[0]:
                    by_alpha = sum(float(((v[i][n] - local[n]) * g_bar[n]).sum()) for n in local)
                    share[i] = min(1.0, max(0.0, a - problem.lr * by_alpha))
                is_first[0] = False
                v[i] = {n: v[i][n] - problem.lr * a * g_bar[n] for n in local}
                return problem.gradient(local, x, y)

            received[i] = problem.train(w, s, t, i, slope=slope)
        p = problem.shares(cohort, weighting)
        w, s = (combined(p, {i: pair[part] for i, pair in received.items()}) for part in (0, 1))
    mixed = [mixture(share[i], v[i], w) for i in range(problem.N)]
    return Outcome(
        weights=w,
        statistics=s,
        personal=mixed,
        personal_statistics=[after_a_pass(problem, mixed[i], s, i) for i in range(problem.N)] if s else None,
    )


def after_a_pass(problem: Problem, w: Named, s: Named, i: int) -> Named:
    """The running statistics, which the paper leaves open: those of the mixture after an epoch without a step."""
    (epoch,) = problem.batches(len(problem.cohorts), i, epochs=1, purpose="evaluate")
    for index in epoch:
        s = problem.next_statistics(w, s, problem.samples(i, index)[0])
    return s


def mixture(a: float, v: Named, w: Named) -> Named:
    return {n: a * v[n] + (1 - a) * w[n] for n in w}
