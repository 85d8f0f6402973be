"""FedFomo: Zhang et al. 2021 (Personalized Federated Learning with First Order Model Optimization).

Client i moves by theta_i^t = theta_i^{t-1} + sum_n w_n (theta_n^t - theta_i^{t-1}), where the sum is over the models
that others have sent and the one that it has trained itself, and

    w_n = (L_i(theta_i^{t-1}) - L_i(theta_n^t)) / ||theta_n^t - theta_i^{t-1}||    (equation 3),

negative w_n are 0, and the others are divided by their sum. theta_i^{t-1} is its model before its last training, as in
the commands of the authors' code (baseline_model first_model). Then it trains. In these cases every client gets the
models of all others, so that no choice of the server is random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem

CASES: list[dict[str, Any]] = [{"M": 5}, {"M": 4, "loss_on": "train"}]


def federate(problem: Problem, M: int = 5, epsilon: float = 0.3, loss_on: str = "validation") -> Outcome:
    assert M >= problem.N - 1
    first = {**problem.weights, **problem.statistics}  # statistics move with the weights
    before: list[Named] = [first] * problem.N  # theta_i^{t-1}
    sent: dict[int, Named] = {}  # theta_n^t
    for t, cohort in problem.rounds():
        for i in cohort:
            D = problem.validation[i] if loss_on == "validation" else problem.samples(i)
            before[i] = first_order_step(problem, before[i], list(sent.values()), D)
        for i in cohort:
            w, s = problem.train(*parts(problem, before[i]), t, i)
            sent[i] = {**w, **s}
    last = [parts(problem, sent.get(i, first)) for i in range(problem.N)]
    statistics = [s for _, s in last] if problem.statistics else None
    return Outcome(personal=[w for w, _ in last], personal_statistics=statistics)


def first_order_step(problem: Problem, theta: Named, others: list[Named], D: tuple[Tensor, Tensor]) -> Named:
    def L_i(model: Named) -> float:
        w, s = parts(problem, model)
        return float(problem.loss(w, *D, s or None))

    def vector(model: Named) -> np.ndarray:
        return torch.cat([model[n].flatten() for n in problem.weights]).numpy()

    w = np.zeros(len(others))
    for n, other in enumerate(others):
        length = np.linalg.norm(vector(other) - vector(theta))
        if length:
            w[n] = max((L_i(theta) - L_i(other)) / length, 0)
    if not w.any():
        return theta
    w = w / w.sum()
    return {name: v + sum(w[n] * (other[name] - v) for n, other in enumerate(others)) for name, v in theta.items()}


def parts(problem: Problem, model: Named) -> tuple[Named, Named]:
    """Weights and statistics."""
    return {n: model[n] for n in problem.weights}, {n: model[n] for n in problem.statistics}
