"""Pillutla et al. 2022, equation 4: the z that minimises sum_i g(|x_i - z|), where g(d) is d above nu and
d^2 / (2 nu) + nu / 2 below. It is convex; here scipy finds the minimum, from the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"iterations": 2000}, {"iterations": 2000, "nu": 2.0}]


def reduced(sent: Sent, iterations: int, nu: float = 1e-6) -> np.ndarray:
    x = sent.x
    distances = [[np.linalg.norm(a - b) for b in x] for a in x]
    nu = nu * sorted(np.median(row) for row in distances)[0]  # the option is in median distances of a central message

    def smoothed(z: np.ndarray) -> tuple[float, np.ndarray]:
        away = z - x
        d = np.linalg.norm(away, axis=1)
        value = np.where(d > nu, d, d**2 / (2 * nu) + nu / 2).sum()
        return value, (away / np.maximum(d, nu)[:, None]).sum(0)

    return minimize(smoothed, x.mean(0), jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 10000}).x
