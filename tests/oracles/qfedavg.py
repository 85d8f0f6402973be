"""q-FedAvg: Li et al. 2020 (Fair Resource Allocation in Federated Learning), algorithm 2.

Delta w_k = L (w - w_k), Delta_k = F_k(w)^q Delta w_k, h_k = q F_k(w)^{q-1} |Delta w_k|^2 + L F_k(w)^q, and
w = w - sum_k Delta_k / sum_k h_k. L is one over the step size, the same for all clients. With momentum the paper has no
L; here 1 / L_k is the mean size of the client's steps, and both sums are of Delta_k / L_k and h_k / L_k, so that q = 0
is the plain mean. F_k is the loss of evaluation on the client's training samples.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.applied import norm_of_a, steps_of
from tests.oracles.problem import Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{"q": 0.7}, {"q": 2.0, "weighting": "examples"}, {"q": 0.0}, {}]


def federate(problem: Problem, q: float = 1.0, weighting: str = "uniform") -> Outcome:
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        weighed, statistics, h = {}, {}, {}
        for k in cohort:
            risk = float(problem.loss(w, *problem.samples(k), s or None))
            w_k, statistics[k] = problem.train(w, s, t, k)
            lipschitz = steps_of(problem, t, k) / (problem.lr * norm_of_a(problem, t, k))
            change = {n: lipschitz * (w[n] - w_k[n]) for n in w}
            square = sum(float((value * value).sum()) for value in change.values())
            weighed[k] = {n: risk**q * value / lipschitz for n, value in change.items()}
            h[k] = q * risk ** (q - 1) * square / lipschitz + risk**q
        p = problem.shares(cohort, weighting)
        direction, length = combined(p, weighed), sum(p[k] * h[k] for k in cohort)
        w, s = {n: w[n] - direction[n] / length for n in w}, combined(p, statistics)
    return Outcome(weights=w, statistics=s)
