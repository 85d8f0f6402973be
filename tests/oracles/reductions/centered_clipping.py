"""Karimireddy et al. 2021, algorithm 2: v_l = v_{l-1} + 1/n sum_i (x_i - v_{l-1}) min(1, tau / |x_i - v_{l-1}|), where
v_0 is the aggregate of the round before, and 0 in the first."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [
    {"tau": 1.0, "iterations": 1},
    {"tau": 1.0, "iterations": 5},
    {"tau": 4.0, "iterations": 2},
    {"tau": 1e9, "iterations": 1},
]


def reduced(sent: Sent, tau: float, iterations: int) -> np.ndarray:
    v = reduced(sent.earlier[-1], tau, iterations) if sent.earlier else np.zeros(sent.x.shape[1])
    for _ in range(iterations):
        clipped = [(x - v) * min(1, tau / np.linalg.norm(x - v)) for x in sent.x]
        v = v + sum(clipped) / len(clipped)
    return v
