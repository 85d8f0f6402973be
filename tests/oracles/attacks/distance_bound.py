"""Min-max and min-sum: Shejwalkar and Houmansadr 2021, equations 8 and 9, gamma by their algorithm 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def perturbation(known: np.ndarray, direction: str) -> np.ndarray:
    mu = known.mean(0)
    return {"unit": -mu / np.linalg.norm(mu), "std": -known.std(0), "sign": -np.sign(mu)}[direction]


def algorithm_1(holds: Callable[[float], bool], initial: float = 1000.0, tau: float = 1e-9) -> float:
    """The largest gamma for which the oracle holds: a step is halved each time."""
    gamma, step, succeeded = initial, initial, 0.0
    while abs(succeeded - gamma) > tau:
        if holds(gamma):
            succeeded, gamma = gamma, gamma + step / 2
        else:
            gamma -= step / 2
        step /= 2
    return succeeded


def squares(known: np.ndarray, m: np.ndarray) -> np.ndarray:
    return ((known - m) ** 2).sum(1)


def minmax(known: np.ndarray, n: int, f: int, direction: str = "std") -> np.ndarray:
    mu, p = known.mean(0), perturbation(known, direction)
    bound = max(squares(known, m).max() for m in known)
    return mu + algorithm_1(lambda gamma: squares(known, mu + gamma * p).max() <= bound) * p


def minsum(known: np.ndarray, n: int, f: int, direction: str = "std") -> np.ndarray:
    mu, p = known.mean(0), perturbation(known, direction)
    bound = max(squares(known, m).sum() for m in known)
    return mu + algorithm_1(lambda gamma: squares(known, mu + gamma * p).sum() <= bound) * p
