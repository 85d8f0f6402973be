"""FedAdagrad: Reddi et al. 2021, algorithm 2: v_t = v_{t-1} + Delta_t^2."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Outcome, Problem
from tests.oracles.reddi import adaptive

CASES: list[dict[str, Any]] = [{"beta_1": 0.3, "tau": 0.1}, {"eta": 0.05, "weighting": "uniform"}, {}]


def federate(
    problem: Problem, eta: float = 0.1, beta_1: float = 0.0, tau: float = 0.001, weighting: str = "examples"
) -> Outcome:
    return adaptive(problem, lambda v, square: v + square, eta, beta_1, tau, weighting)
