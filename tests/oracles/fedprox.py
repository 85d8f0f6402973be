"""FedProx: Li et al. 2020, algorithm 2. A client steps along the gradient of F_k(w) + mu/2 ||w - w^t||^2."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{"mu": 0.5}, {"mu": 0.1, "weighting": "uniform"}, {}]


def federate(problem: Problem, mu: float = 0.01, weighting: str = "examples") -> Outcome:
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        slope = partial(gradient_of_h, problem, mu, w)
        clients = {k: problem.train(w, s, t, k, slope=slope) for k in cohort}
        p = problem.shares(cohort, weighting)
        w, s = (combined(p, {k: clients[k][part] for k in cohort}) for part in (0, 1))
    return Outcome(weights=w, statistics=s)


def gradient_of_h(problem: Problem, mu: float, centre: Named, w: Named, x: Tensor, y: Tensor) -> Named:
    """By automatic differentiation of the objective itself."""
    leaves = {name: t.clone().requires_grad_() for name, t in w.items()}
    distance = sum((leaves[name] - centre[name]).square().sum() for name in w)
    objective = problem.loss(leaves, x, y) + mu / 2 * distance
    return dict(zip(leaves, torch.autograd.grad(objective, list(leaves.values())), strict=True))
