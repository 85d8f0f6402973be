"""Shejwalkar, Houmansadr 2021, algorithm 2: in each iteration b random dimensions, the mean mu, the top right singular
vector v of the centred gradients, scores <g_i - mu, v>^2, and the n - c m lowest scores are good; the aggregate is the
mean of the intersection of the good sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [
    {"f": 2, "coordinates": 1000},
    {"f": 2, "c": 1.5, "coordinates": 1000},
    {"f": 2, "coordinates": 3, "iterations": 1},
    {"f": 1, "coordinates": 3, "iterations": 4},
]


def reduced(sent: Sent, f: int, coordinates: int, c: float = 1.0, iterations: int = 5) -> np.ndarray:
    n, dimensions = sent.x.shape
    rng = sent.generator("reduction.dnc", "delta.weights")
    good = set(range(n))
    for _ in range(iterations):
        b = rng.choice(dimensions, min(coordinates, dimensions), replace=False, shuffle=False)
        centred = sent.x[:, b] - sent.x[:, b].mean(0)
        v = np.linalg.svd(centred)[2][0]
        scores = (centred @ v) ** 2
        good &= set(np.argsort(scores)[: n - int(np.ceil(c * f))].tolist())
    return np.mean([sent.x[i] for i in good], axis=0)
