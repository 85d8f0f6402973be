"""pFedMe: Dinh et al. 2020 (Personalized Federated Learning with Moreau Envelopes), algorithm 1.

Client i begins at w_{i,0} = w_t. For each batch D it minimises h(theta; w_{i,r}, D) = f(theta; D) + lambda/2
||theta - w_{i,r}||^2 (equation 7), here by K steps of gradient descent, and takes w_{i,r+1} = w_{i,r} - eta lambda
(w_{i,r} - theta) (line 8). The server takes w_{t+1} = (1 - beta) w_t + beta times the mean of the w_{i,R}.

A client would use theta_i(w_T): h on all its samples, in evaluation. The optimiser of line 8 may have momentum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"lam": 5.0, "K": 3, "personal_lr": 0.04},
    {"lam": 10.0, "K": 2, "personal_lr": 0.02, "beta": 0.5, "weighting": "uniform"},
    {},
]


def federate(
    problem: Problem,
    lam: float = 15.0,
    K: int = 5,
    personal_lr: float = 0.05,
    beta: float = 1.0,
    weighting: str = "examples",
) -> Outcome:
    def minimised_h(w: Named, D: tuple[Tensor, Tensor], statistics: Named | None = None) -> Named:
        theta = {n: value.clone().requires_grad_() for n, value in w.items()}
        descent = torch.optim.SGD(list(theta.values()), lr=personal_lr)
        for _ in range(K):
            descent.zero_grad()
            h = problem.loss(theta, *D, statistics) + lam / 2 * sum((theta[n] - w[n]).pow(2).sum() for n in w)
            h.backward()
            descent.step()
        return {n: value.detach() for n, value in theta.items()}

    w_t, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        w_R: dict[int, Named] = {}
        statistics: dict[int, Named] = {}
        for i in cohort:
            w, statistics[i], optimizer = w_t, s, problem.sgd()
            for index in [index for epoch in problem.batches(t, i) for index in epoch]:
                D = problem.samples(i, index)
                theta = minimised_h(w, D)
                statistics[i] = problem.next_statistics(w, statistics[i], D[0])
                w = optimizer.step(w, {n: lam * (w[n] - theta[n]) for n in w})
            w_R[i] = w
        p = problem.shares(cohort, weighting)
        mean = combined(p, w_R)
        w_t, s = {n: (1 - beta) * w_t[n] + beta * mean[n] for n in w_t}, combined(p, statistics)
    personal = [minimised_h(w_t, problem.samples(i), s or None) for i in range(problem.N)]
    return Outcome(weights=w_t, statistics=s, personal=personal, personal_statistics=[s] * problem.N if s else None)
