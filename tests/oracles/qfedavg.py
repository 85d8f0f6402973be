"""q-FedAvg: Li et al. 2020 (Fair Resource Allocation in Federated Learning), algorithm 2.

Each client k of the cohort S_t trains from w^t to w_bar_k, and computes

    Delta w_k = L (w^t - w_bar_k),    Delta_k = F_k^q(w^t) Delta w_k,
    h_k = q F_k^{q-1}(w^t) ||Delta w_k||^2 + L F_k^q(w^t),

and the server w^{t+1} = w^t - sum_k Delta_k / sum_k h_k. The paper samples by p_k; clients that are sampled uniformly
have p_k as a weight in both sums. L is one over the step size. F_k is the loss of evaluation on the training samples.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.applied import norm_of_a, steps_of
from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{"q": 0.7}, {"q": 2.0, "weighting": "examples"}, {"q": 0.0}, {}]


def federate(problem: Problem, q: float = 1.0, weighting: str = "uniform") -> Outcome:
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        Delta: dict[int, Named] = {}
        h: dict[int, float] = {}
        statistics: dict[int, Named] = {}
        for k in cohort:
            F_k = float(problem.loss(w, *problem.samples(k), s or None))
            w_bar, statistics[k] = problem.train(w, s, t, k)
            L = 1 / problem.lr
            if problem.momentum:
                L = steps_of(problem, t, k) / (problem.lr * norm_of_a(problem, t, k))
            Delta_w = {n: L * (w[n] - w_bar[n]) for n in w}
            Delta[k] = {n: F_k**q * value for n, value in Delta_w.items()}
            h[k] = q * F_k ** (q - 1) * sum(float(v.pow(2).sum()) for v in Delta_w.values()) + L * F_k**q
            if problem.momentum:  # our choice, the paper has no momentum: L_k differs, and q = 0 is the plain mean
                Delta[k], h[k] = {n: value / L for n, value in Delta[k].items()}, h[k] / L
        p = problem.shares(cohort, weighting)
        total, length = combined(p, Delta), sum(p[k] * h[k] for k in cohort)
        w, s = {n: w[n] - total[n] / length for n in w}, combined(p, statistics)
    return Outcome(weights=w, statistics=s)
