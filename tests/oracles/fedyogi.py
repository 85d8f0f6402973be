"""FedYogi: Reddi et al. 2021, algorithm 2: v_t = v_{t-1} - (1 - beta_2) Delta_t^2 sign(v_{t-1} - Delta_t^2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

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
    def second(v: Tensor, square: Tensor) -> Tensor:
        return v - (1 - beta_2) * square * (v - square).sign()

    return adaptive(problem, second, eta, beta_1, tau, weighting)
