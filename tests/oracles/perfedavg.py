"""Per-FedAvg: Fallah et al. 2020, algorithm 1, on three parts D, D', D'' of each batch:

w~ = w - alpha grad f(w; D), w = w - beta (I - alpha hess f(w; D'')) grad f(w~; D').

Without the Hessian there are two parts, D and D'.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"alpha": 0.2},
    {"alpha": 0.2, "hessian": "first_order", "personal_steps": 2},
    {"alpha": 0.05, "personal_steps": 3, "weighting": "uniform"},
]


def federate(
    problem: Problem,
    alpha: float = 0.01,
    hessian: str = "exact",
    personal_steps: int = 1,
    weighting: str = "examples",
) -> Outcome:
    def part(i: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        parts = 2 if hessian == "first_order" else 3  # it needs no D''
        least = 2 * parts if problem.statistics else parts  # a part of one sample has no variance
        return (x, y) if len(y) < least else (x[i::parts], y[i::parts])

    def meta_gradient(w: Named, x: Tensor, y: Tensor) -> Named:
        inner = problem.gradient(w, *part(0, x, y))
        outer = problem.gradient({n: w[n] - alpha * inner[n] for n in w}, *part(1, x, y))
        if hessian == "first_order":
            return outer
        curved = hessian_product(problem, w, outer, *part(2, x, y))
        return {n: outer[n] - alpha * curved[n] for n in w}

    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        trained = {i: problem.train(w, s, t, i, slope=meta_gradient) for i in cohort}
        p = problem.shares(cohort, weighting)
        w, s = (combined(p, {i: pair[part_of_pair] for i, pair in trained.items()}) for part_of_pair in (0, 1))
    personal = []
    for i in range(problem.N):
        theta = w
        for _ in range(personal_steps):
            g = problem.gradient(theta, *problem.samples(i), s or None)
            theta = {n: theta[n] - alpha * g[n] for n in theta}
        personal.append(theta)
    return Outcome(weights=w, statistics=s, personal=personal, personal_statistics=[s] * problem.N if s else None)


def hessian_product(problem: Problem, w: Named, u: Named, x: Tensor, y: Tensor) -> Named:
    """hess f(w) u."""
    leaves = {n: t.detach().clone().requires_grad_() for n, t in w.items()}
    slopes = torch.autograd.grad(problem.loss(leaves, x, y), list(leaves.values()), create_graph=True)
    inner = sum((g * u[n]).sum() for n, g in zip(leaves, slopes, strict=True))
    products = torch.autograd.grad(inner, list(leaves.values()), allow_unused=True)
    return {n: torch.zeros_like(w[n]) if h is None else h for n, h in zip(leaves, products, strict=True)}
