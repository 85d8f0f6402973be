"""CFL: Sattler et al. 2020 (Clustered Federated Learning), algorithm 5 with the plain mean over a cluster, or with the
weights |D_i| / |D_c| of its algorithm 2 (`examples`).

Client i adds the last Delta theta of its cluster c to theta_i and trains; Delta theta_i is the change. The server takes
Delta theta_c over each old cluster c first, and then cuts the clusters with ||Delta theta_c|| < eps1 and
max ||Delta theta_i|| > eps2. All bipartitions are tried here. A factor f of the server's learning rate makes
f Delta theta_c of what the clients add.

The paper asks all clients in each round. Where some are not asked, a cluster moves by the mean of those that are, and
the last Delta theta_i of each client decides on a cut; a cluster without one of each, since it began, is not cut.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem

EVERYBODY = [0, 1, 2, 3, 4]
POSED = {
    "cohorts": [EVERYBODY, EVERYBODY, [1, 0, 4], [2, 3], EVERYBODY, [2, 4, 0]],  # after four cuts a pair is cut
    "server_factors": [0.7, 1.0, 0.4, 0.9, 1.0, 0.8],
}
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
    m = range(problem.N)
    clusters = [list(m)]
    theta = [{**problem.weights, **problem.statistics} for _ in m]
    delta_of_cluster = [{name: torch.zeros_like(value) for name, value in theta[0].items()} for _ in m]  # by client
    nothing, last = delta_of_cluster[0], {}  # the last Delta theta of each client since its cluster began
    for t, asked in problem.rounds():
        theta = [added(theta[i], delta_of_cluster[i]) for i in m]
        last |= {i: change(problem, theta[i], t, i) for i in asked}
        flat = {i: torch.cat([x[name].reshape(-1) for name in problem.weights]) for i, x in last.items()}
        cut: list[list[int]] = []
        for c in clusters:
            moved = weighted(problem, [i for i in c if i in asked], weighting, last) or nothing
            for i in c:
                delta_of_cluster[i] = {
                    name: problem.server_factor(t) * value if name in problem.weights else value
                    for name, value in moved.items()
                }
            parts = [c]
            if len(c) > 1 and all(i in last for i in c):
                mean = weighted(problem, c, weighting, last)
                length = math.sqrt(sum(float(mean[name].pow(2).sum()) for name in problem.weights))
                c1, c2, alpha_cross = least_similar_parts(c, flat)
                moves_apart = length < eps1 and max(float(flat[i].norm()) for i in c) > eps2
                if moves_apart and gamma_max < math.sqrt((1 - alpha_cross) / 2):
                    parts = [c1, c2]
                    last = {i: delta for i, delta in last.items() if i not in c}
            cut += parts
        clusters = cut
    theta = [added(theta[i], delta_of_cluster[i]) for i in m]
    return Outcome(
        personal=[{name: model[name] for name in problem.weights} for model in theta],
        personal_statistics=[{n: x[n] for n in problem.statistics} for x in theta] if problem.statistics else None,
    )


def weighted(problem: Problem, clients: list[int], weighting: str, last: dict[int, Named]) -> Named:
    """The mean Delta theta of some clients; empty for none."""
    share = problem.shares(clients, weighting)
    return {name: sum(share[i] * last[i][name] for i in clients) for name in last[clients[0]]} if clients else {}


def added(model: Named, step: Named) -> Named:
    return {name: value + step[name] for name, value in model.items()}


def change(problem: Problem, model: Named, t: int, i: int) -> Named:
    """SGD_n(theta_i, D_i) - theta_i, with the change of the running statistics."""
    w, s = ({name: model[name] for name in names} for names in (problem.weights, problem.statistics))
    trained, statistics = problem.train(w, s, t, i)
    return {name: value - model[name] for name, value in {**trained, **statistics}.items()}


def least_similar_parts(c: list[int], flat: dict[int, Tensor]) -> tuple[list[int], list[int], float]:
    """argmin over c1, c2 of max alpha_ij, and this largest cosine between them."""

    def cosine(i: int, j: int) -> float:
        return float(flat[i] @ flat[j] / (flat[i].norm() * flat[j].norm()))

    tried = []
    for size in range(1, len(c)):
        for c1 in itertools.combinations(c, size):
            c2 = [j for j in c if j not in c1]
            tried.append((max(cosine(i, j) for i in c1 for j in c2), list(c1), c2))
    alpha_cross, first, second = min(tried)
    return first, second, alpha_cross
