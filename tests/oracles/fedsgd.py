"""FedSGD: McMahan et al. 2017, section 2 (E = 1, B infinite): w_{t+1} = w_t - eta sum_k n_k / n grad F_k(w_t).

The step is that of an optimiser on the server. With batch normalisation a gradient is the mean over the batches of an
epoch, each normalised by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tests.oracles.problem import Named, Outcome, Problem, Sgd, combined

CASES: list[dict[str, Any]] = [
    {},
    {"server_optimizer": {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.01}, "weighting": "uniform"},
]


def federate(
    problem: Problem, server_optimizer: Mapping[str, float] | None = None, weighting: str = "examples"
) -> Outcome:
    settings = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, **(server_optimizer or {})}
    server = Sgd(settings["lr"], settings["momentum"], settings["weight_decay"])
    w, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        slopes, moved = {}, {}
        for k in cohort:
            slopes[k], moved[k] = whole_slope(problem, w, s, t, k)
        p = problem.shares(cohort, weighting)
        w, s = server.step(w, combined(p, slopes)), combined(p, moved)
    return Outcome(weights=w, statistics=s)


def whole_slope(problem: Problem, w: Named, s: Named, t: int, k: int) -> tuple[Named, Named]:
    """grad F_k(w), and the statistics after these passes."""
    (epoch,) = problem.batches(t, k, epochs=1)
    seen = sum(len(index) for index in epoch)
    total = {name: torch.zeros_like(value) for name, value in w.items()}
    for index in epoch:
        x, y = problem.samples(k, index)
        slope = problem.gradient(w, x, y)
        total = {name: total[name] + len(index) / seen * slope[name] for name in total}
        s = problem.next_statistics(w, s, x)
    return total, s
