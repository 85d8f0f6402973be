"""SCAFFOLD: Karimireddy et al. 2020, algorithm 1, server step size 1.

y_i = y_i - eta (g_i(y_i) - c_i + c); c_i+ is g_i(x) (option I) or c_i - c + (x - y_i) / (K eta) (option II);
x = x + mean (y_i - x), c = c + |S| / N mean (c_i+ - c_i). With momentum, K eta is what the steps applied of a constant
gradient. The gradient of option I is that of evaluation, over all samples of the client.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.applied import norm_of_a
from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {},
    {"option": "I"},
    {"option": "II", "weighting": "examples", "c_weighting": "examples"},
    {"option": "I", "weighting": "examples"},
]


def federate(problem: Problem, option: str = "II", weighting: str = "uniform", c_weighting: str = "uniform") -> Outcome:
    x, s = problem.weights, problem.statistics
    c = {name: torch.zeros_like(value) for name, value in x.items()}
    own = [c] * problem.N
    for t, cohort in problem.rounds():
        models, statistics, changes = {}, {}, {}
        for k in cohort:
            models[k], statistics[k] = problem.train(x, s, t, k, slope=Corrected(problem, own[k], c))
            if option == "I":
                renewed = problem.gradient(x, *problem.samples(k), s or None)
            else:
                length = problem.lr * norm_of_a(problem, t, k)
                renewed = {n: own[k][n] - c[n] + (x[n] - models[k][n]) / length for n in x}
            changes[k] = {n: renewed[n] - own[k][n] for n in x}
            own[k] = renewed
        x = combined(problem.shares(cohort, weighting), models)
        s = combined(problem.shares(cohort, weighting), statistics)
        mean = combined(problem.shares(cohort, c_weighting), changes)
        c = {n: c[n] + len(cohort) / problem.N * mean[n] for n in c}
    return Outcome(weights=x, statistics=s)


class Corrected:
    """g_i(y) - c_i + c."""

    def __init__(self, problem: Problem, c_i: Named, c: Named):
        self.problem, self.c_i, self.c = problem, c_i, c

    def __call__(self, y: Named, inputs: Tensor, targets: Tensor) -> Named:
        g = self.problem.gradient(y, inputs, targets)
        return {n: g[n] - self.c_i[n] + self.c[n] for n in g}
