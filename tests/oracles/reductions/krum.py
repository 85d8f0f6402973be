"""Blanchard et al. 2017, section 4: i -> j says that x_j is one of the n - f - 2 vectors closest to x_i, and the score
of i is the sum over i -> j of |x_i - x_j|^2."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"f": 4}, {"f": 0}]


def scores(x: np.ndarray, neighbours: int) -> list[float]:
    result = []
    for i in range(len(x)):
        distances = sorted(np.linalg.norm(x[i] - x[j]) ** 2 for j in range(len(x)) if j != i)
        result.append(sum(distances[:neighbours]))
    return result


def reduced(sent: Sent, f: int) -> np.ndarray:
    return sent.x[int(np.argmin(scores(sent.x, len(sent.x) - f - 2)))]
