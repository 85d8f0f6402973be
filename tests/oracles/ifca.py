"""IFCA: Ghosh et al. 2020 (An Efficient Framework for Clustered Federated Learning), algorithm 1.

Machine i finds j^ = argmin_j F_i(theta_j) on its samples; s_ij is 1 for j^, else 0. Option I: it sends
g_i = grad F_i(theta_j^), and theta_j becomes theta_j - gamma / m sum_i s_ij g_i over the machines of the round, where m
is the number of all machines. Option II: it sends theta~_i after local training, and theta_j becomes
sum_i s_ij theta~_i / sum_i s_ij; a model that no machine took stays. A factor f of the server's learning rate makes
f gamma of gamma, and under option II it is the share of the way from theta_j to the mean.
"""

from __future__ import annotations

from typing import Any

import torch

from tests.oracles.problem import Named, Outcome, Problem

POSED = {"server_factors": [0.6, 1.0, 0.5]}
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
        f, next_theta = problem.server_factor(t), []
        estimate = {i: nearest(problem, theta, i) for i in machines}
        for j in range(clusters):
            w, s = theta[j]
            one_hot = {i: float(estimate[i] == j) * (problem.n[i] if weighting == "examples" else 1) for i in machines}
            total = sum(one_hot.values())
            sent = {i: answer(problem, averaging, theta[j], t, i) for i in machines if one_hot[i]}
            if averaging == "gradient":
                w = {n: v - f * gamma / problem.N * sum(g[n] for g, _ in sent.values()) for n, v in w.items()}
            elif total:
                w = {n: v + f * (sum(one_hot[i] * sent[i][0][n] for i in sent) / total - v) for n, v in w.items()}
            if total:
                s = {n: sum(one_hot[i] * sent[i][1][n] for i in sent) / total for n in s}
            next_theta.append((w, s))
        theta = next_theta
    own = [theta[nearest(problem, theta, i)] for i in range(problem.N)]
    statistics = [s for _, s in own] if problem.statistics else None
    return Outcome(personal=[w for w, _ in own], personal_statistics=statistics)


def answer(problem: Problem, averaging: str, model: tuple[Named, Named], t: int, i: int) -> tuple[Named, Named]:
    """g_i or theta~_i, and the statistics of machine i."""
    return problem.train(*model, t, i) if averaging == "model" else gradient_of_f(problem, *model, t, i)


def nearest(problem: Problem, theta: list[tuple[Named, Named]], i: int) -> int:
    """The model of the smallest loss F_i, in evaluation mode."""
    losses = [float(problem.loss(w, *problem.samples(i), s or None)) for w, s in theta]
    return losses.index(min(losses))


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
