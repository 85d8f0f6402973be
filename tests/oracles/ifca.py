"""IFCA: Ghosh et al. 2020, algorithm 1. Of k models, client i takes the one of the smallest loss on its samples.

Option II: model j becomes the mean of what the clients of cluster j have trained. Option I: model j steps by gamma
along the sum of their gradients over m, the number of all machines. A model that no client takes stays.
"""

from __future__ import annotations

from typing import Any

import torch

from tests.oracles.problem import Named, Outcome, Problem

CASES: list[dict[str, Any]] = [
    {},
    {"clusters": 3, "weighting": "examples"},
    {"averaging": "gradient", "gamma": 0.3},
]


def federate(
    problem: Problem, clusters: int = 2, averaging: str = "model", gamma: float = 0.1, weighting: str = "uniform"
) -> Outcome:
    (theta,) = problem.drawn.values()
    theta = list(theta)
    assert len(theta) == clusters
    for t, machines in problem.rounds():
        chosen = {i: nearest(problem, theta, i) for i in machines}
        mass = {i: float(problem.n[i]) if weighting == "examples" else 1.0 for i in machines}
        after = list(theta)
        for j in range(clusters):
            members = [i for i in machines if chosen[i] == j]
            if not members:
                continue
            if averaging == "model":
                total = sum(mass[i] for i in members)
                local = [problem.train(*theta[j], t, i) for i in members]
            else:
                total = problem.N
                local = [(problem.gradient(theta[j][0], *problem.samples(i), theta[j][1] or None), {}) for i in members]
            sums = [{n: torch.zeros_like(v) for n, v in part.items()} for part in theta[j]]
            for i, parts in zip(members, local, strict=True):
                for added, part in zip(sums, parts, strict=True):
                    for n in part:
                        added[n] += mass[i] / total * part[n]
            if averaging == "model":
                after[j] = (sums[0], sums[1])
            else:
                w, s = theta[j]
                after[j] = ({n: w[n] - gamma * sums[0][n] for n in w}, s)
        theta = after
    own = [theta[nearest(problem, theta, i)] for i in range(problem.N)]
    has_statistics = bool(problem.statistics)
    return Outcome(personal=[w for w, _ in own], personal_statistics=[s for _, s in own] if has_statistics else None)


def nearest(problem: Problem, theta: list[tuple[Named, Named]], i: int) -> int:
    """The model of the smallest loss F_i, in evaluation mode."""
    losses = [float(problem.loss(w, *problem.samples(i), s or None)) for w, s in theta]
    return losses.index(min(losses))
