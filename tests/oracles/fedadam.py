"""FedAdam: Reddi et al. 2021, algorithm 2: v_t = beta_2 v_{t-1} + (1 - beta_2) Delta_t^2, without bias correction."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Outcome, Problem
from tests.oracles.reddi import adaptive

CASES: list[dict[str, Any]] = [
    {"beta_1": 0.8, "beta_2": 0.7, "tau": 0.02, "eta": 0.05},
    {"beta_1": 0.0, "weighting": "uniform"},
    {},
]


def federate(
    problem: Problem,
    eta: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 0.001,
    weighting: str = "examples",
) -> Outcome:
    return adaptive(problem, lambda v, square: beta_2 * v + (1 - beta_2) * square, eta, beta_1, tau, weighting)
