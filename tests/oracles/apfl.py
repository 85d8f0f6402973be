"""APFL: Deng et al. 2020 (Adaptive Personalized Federated Learning), algorithm 1.

With v_bar = alpha v + (1 - alpha) w, the values before a step, and the same batch in all three lines:

    w = w - eta d f(w) / dw,    v = v - eta d f(v_bar) / dv,
    alpha = alpha - eta d f(v_bar) / d alpha, once a round, on its first batch, projected to [0, 1].

The server averages the w. A client's model is v_bar with that mean. Derivatives are autograd's, by v and by alpha.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {},
    {"alpha": 0.3, "adaptive": False, "weighting": "uniform"},
    {"alpha": 1.0},  # the upper limit
    {"alpha": 0.01},  # the lower limit
]


def federate(problem: Problem, alpha: float = 0.5, adaptive: bool = True, weighting: str = "examples") -> Outcome:
    alphas = [torch.tensor(alpha, dtype=torch.float64) for _ in range(problem.N)]
    vs: list[Named] = [problem.weights] * problem.N
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        ws: dict[int, Named] = {}
        statistics: dict[int, Named] = {}
        for i in cohort:
            w_i, statistics[i], optimizer = w, s, problem.sgd()
            batches = [index for epoch in problem.batches(t, i) for index in epoch]
            for number, index in enumerate(batches):
                x, y = problem.samples(i, index)
                by_v, by_alpha = derivatives(problem, vs[i], alphas[i], w_i, x, y)
                vs[i] = {n: vs[i][n] - problem.lr * by_v[n] for n in w}
                if adaptive and number == 0:
                    alphas[i] = (alphas[i] - problem.lr * by_alpha).clip(0, 1)
                statistics[i] = problem.next_statistics(w_i, statistics[i], x)
                w_i = optimizer.step(w_i, problem.gradient(w_i, x, y))
            ws[i] = w_i
        p = problem.shares(cohort, weighting)
        w, s = combined(p, ws), combined(p, statistics)
    v_bar = [{n: alphas[i] * vs[i][n] + (1 - alphas[i]) * w[n] for n in w} for i in range(problem.N)]
    return Outcome(
        weights=w,
        statistics=s,
        personal=v_bar,
        personal_statistics=[after_a_pass(problem, v_bar[i], s, i) for i in range(problem.N)] if s else None,
    )


def derivatives(problem: Problem, v: Named, alpha: Tensor, w: Named, x: Tensor, y: Tensor) -> tuple[Named, Tensor]:
    """Of f(alpha v + (1 - alpha) w), by v and by alpha."""
    a, leaves = alpha.clone().requires_grad_(), {n: value.clone().requires_grad_() for n, value in v.items()}
    problem.loss({n: a * leaves[n] + (1 - a) * w[n] for n in w}, x, y).backward()
    by_v = {n: leaf.grad for n, leaf in leaves.items() if leaf.grad is not None}
    assert a.grad is not None
    return by_v, a.grad


def after_a_pass(problem: Problem, w: Named, s: Named, i: int) -> Named:
    """The running statistics, which the paper leaves open: those of the mixture after an epoch without a step."""
    (epoch,) = problem.batches(len(problem.cohorts), i, epochs=1, purpose="evaluate")
    for index in epoch:
        s = problem.next_statistics(w, s, problem.samples(i, index)[0])
    return s
