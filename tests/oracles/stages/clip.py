"""Flat clipping (McMahan et al. 2018, section 2) and its adaptive norm (Andrew et al. 2021, algorithm 1)."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def clipped(vectors: list[Array], s: float) -> list[Array]:
    """pi(Delta, S) = Delta min(1, S / ||Delta||), the norm over all vectors together."""
    norm = math.sqrt(sum(float(x) ** 2 for v in vectors for x in v))
    return [v * min(1.0, s / norm) if norm > 0 else v for v in vectors]


def norms(c: float, gamma: float, eta: float, rounds: list[list[Array]]) -> list[float]:
    """The clipping norm of each round and the one after: C^{t+1} = C^t exp(-eta (b - gamma)) with the mean b of the
    bits b_i = 1 where ||Delta_i|| <= C^t."""
    result = [c]
    for updates in rounds:
        b = sum(math.sqrt(float(u @ u)) <= result[-1] for u in updates) / len(updates)
        result.append(result[-1] * math.exp(-eta * (b - gamma)))
    return result
