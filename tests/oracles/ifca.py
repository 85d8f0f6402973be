"""IFCA: Ghosh et al. 2020, algorithm 1. Of k models, client i takes the one of the smallest loss on its samples.

Option II: model j becomes the mean of what the clients of cluster j have trained. Option I: model j steps by gamma
along the sum of their gradients over m, the number of all machines. A model that no client takes stays.
"""

from __future__ import annotations

from typing import Any

import torch

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"clusters": 3, "weighting": "examples"},
    {},
    {"averaging": "gradient", "gamma": 0.3},
]


def federate(
    problem: Problem, clusters: int = 2, averaging: str = "model", gamma: float = 0.1, weighting: str = "uniform"
) -> Outcome:
    (drawn,) = problem.drawn.values()
    theta = list(drawn[:clusters])
    assert len(theta) == clusters
    for t, machines in problem.rounds():
        chosen = {i: nearest(problem, theta, i) for i in machines}
        for j in range(clusters):
            members = [i for i in machines if chosen[i] == j]
            if not members:
                continue
            p = problem.shares(members, weighting)
            if averaging == "model":
                local = {i: problem.train(*theta[j], t, i) for i in members}
                theta[j] = (combined(p, {i: w for i, (w, _) in local.items()}), mean_statistics(p, local))
            else:
                local = {i: gradient_of_f(problem, *theta[j], t, i) for i in members}
                w = {n: v - gamma / problem.N * sum(local[i][0][n] for i in members) for n, v in theta[j][0].items()}
                theta[j] = (w, mean_statistics(p, local))
    own = [theta[nearest(problem, theta, i)] for i in range(problem.N)]
    statistics = [s for _, s in own] if problem.statistics else None
    return Outcome(personal=[w for w, _ in own], personal_statistics=statistics)


def nearest(problem: Problem, theta: list[tuple[Named, Named]], i: int) -> int:
    """The model of the smallest loss F_i, in evaluation mode."""
    losses = [float(problem.loss(w, *problem.samples(i), s or None)) for w, s in theta]
    return losses.index(min(losses))


def mean_statistics(p: dict[int, float], local: dict[int, tuple[Named, Named]]) -> Named:
    return combined(p, {i: s for i, (_, s) in local.items()})


def gradient_of_f(problem: Problem, w: Named, s: Named, t: int, i: int) -> tuple[Named, Named]:
    """Over all samples. With batch normalisation, which the paper does not have, over the batches of one epoch in
    training mode, with the statistics after them."""
    total, count = {n: torch.zeros_like(v) for n, v in w.items()}, 0
    for index in problem.batches(t, i, epochs=1)[0]:
        x, y = problem.samples(i, index)
        g = problem.gradient(w, x, y)
        total, count = {n: total[n] + len(x) * g[n] for n in w}, count + len(x)
        s = problem.next_statistics(w, s, x)
    return {n: v / count for n, v in total.items()}, s
