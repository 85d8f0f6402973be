"""MOON: Li et al. 2021 (Model-Contrastive Federated Learning), equations 3 and 4 and algorithm 1, lines 13 to 18.

The loss is l_sup + mu l_con, l_con = -log(e^{sim(z, z_glob)/tau} / (e^{sim(z, z_glob)/tau} + e^{sim(z, z_prev)/tau})),
on average over the batch; z is the input of the head, at w, at the received model and at the client's last local model
(at first the initial one). With batch normalisation all three are normalised by the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{"mu": 5.0, "tau": 0.7}, {"mu": 2.0, "weighting": "uniform"}, {}]


def federate(problem: Problem, mu: float = 1.0, tau: float = 0.5, weighting: str = "examples") -> Outcome:
    w, s = problem.weights, problem.statistics
    previous = [w] * problem.N
    for t, cohort in problem.rounds():
        statistics = {}
        trained: dict[int, Named] = {}
        for k in cohort:
            slope = Contrastive(problem, w, previous[k], mu, tau)
            trained[k], statistics[k] = problem.train(w, s, t, k, slope=slope)
            previous[k] = trained[k]
        p = problem.shares(cohort, weighting)
        w, s = combined(p, trained), combined(p, statistics)
    return Outcome(weights=w, statistics=s)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of the rows; 0 for a row of zeros, as its length is taken to be at least 1e-8."""
    lengths = [(z * z).sum(1).clamp(min=1e-16).sqrt() for z in (a, b)]
    return (a * b).sum(1) / (lengths[0] * lengths[1])


class Contrastive:
    def __init__(self, problem: Problem, received: Named, previous: Named, mu: float, tau: float):
        self.problem, self.received, self.previous, self.mu, self.tau = problem, received, previous, mu, tau

    def __call__(self, w: Named, inputs: Tensor, targets: Tensor) -> Named:
        free = {n: value.detach().clone().requires_grad_() for n, value in w.items()}
        z = self.problem.features(free, inputs)
        to_global = (cosine(z, self.problem.features(self.received, inputs)) / self.tau).exp()
        to_previous = (cosine(z, self.problem.features(self.previous, inputs)) / self.tau).exp()
        contrast = -(to_global / (to_global + to_previous)).log().mean()
        total = self.problem.loss(free, inputs, targets) + self.mu * contrast
        slopes = torch.autograd.grad(total, list(free.values()), allow_unused=True)
        return {n: torch.zeros_like(w[n]) if g is None else g for n, g in zip(free, slopes, strict=True)}
