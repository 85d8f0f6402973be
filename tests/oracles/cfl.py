"""CFL: Sattler et al. 2020 (Clustered Federated Learning), algorithm 3. One model for each cluster of clients.

A cluster whose mean update is short although some client's is long is cut in two, so that the largest cosine between
the halves is the smallest. All bipartitions are tried here. The mean update of a round is that of the clusters before
the cut (line 13), so that the halves begin with the same model.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Outcome, Problem

EVERYBODY = [[0, 1, 2, 3, 4]] * 3  # the paper has all clients in each round
POSED = {"cohorts": EVERYBODY}
CASES: list[dict[str, Any]] = [
    {"eps1": 100.0, "eps2": 0.0},
    {"eps1": 100.0, "eps2": 0.0, "weighting": "uniform"},
    {"eps1": 0.45, "eps2": 0.0},
    {"eps1": 100.0, "eps2": 0.8},
    {"eps1": 100.0, "eps2": 0.0, "gamma_max": 0.5, "weighting": "uniform"},
    {"eps1": 0.0},
]


def federate(
    problem: Problem, eps1: float = 0.4, eps2: float = 1.6, gamma_max: float = 0.0, weighting: str = "examples"
) -> Outcome:
    everyone = list(range(problem.N))
    model = dict.fromkeys(everyone, (problem.weights, problem.statistics))
    clusters = [everyone]
    for t, _ in problem.rounds():
        trained = {i: problem.train(*model[i], t, i) for i in everyone}
        change = {i: [{n: a[n] - b[n] for n in a} for a, b in zip(trained[i], model[i], strict=True)] for i in everyone}
        flat = {i: torch.cat([v.reshape(-1) for v in change[i][0].values()]) for i in everyone}
        before = clusters
        clusters = [half for c in clusters for half in cut(problem, c, flat, eps1, eps2, gamma_max, weighting)]
        for c in before:
            p = problem.shares(c, weighting)
            mean = [{n: sum(p[i] * change[i][part][n] for i in c) for n in change[c[0]][part]} for part in (0, 1)]
            for i in c:
                w, s = ({n: v + step[n] for n, v in old.items()} for old, step in zip(model[i], mean, strict=True))
                model[i] = (w, s)
    statistics = [model[i][1] for i in everyone] if problem.statistics else None
    return Outcome(personal=[model[i][0] for i in everyone], personal_statistics=statistics)


def cut(
    problem: Problem,
    cluster: list[int],
    flat: dict[int, Tensor],
    eps1: float,
    eps2: float,
    gamma_max: float,
    weighting: str,
) -> list[list[int]]:
    p = problem.shares(cluster, weighting)
    mean = sum((p[i] * flat[i] for i in cluster), torch.zeros_like(flat[cluster[0]]))
    if len(cluster) < 2 or not (mean.norm() < eps1 and max(flat[i].norm() for i in cluster) > eps2):
        return [cluster]
    cosine = {
        (i, j): float(flat[i] @ flat[j] / (flat[i].norm() * flat[j].norm()))
        for i, j in itertools.product(cluster, cluster)
    }
    best, best_cross = ([cluster], math.inf)
    for size in range(1, len(cluster)):
        for inside in itertools.combinations(cluster, size):
            outside = [j for j in cluster if j not in inside]
            cross = max(cosine[i, j] for i in inside for j in outside)
            if cross < best_cross:
                best, best_cross = [list(inside), outside], cross
    return best if gamma_max < math.sqrt(max(0.0, (1 - best_cross) / 2)) else [cluster]
