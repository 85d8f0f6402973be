"""Inner product manipulation: Xie et al. 2020, Fall of Empires, equation 1."""

from __future__ import annotations

import numpy as np


def sent(known: np.ndarray, n: int, f: int, epsilon: float = 0.5) -> np.ndarray:
    return -epsilon / len(known) * sum(known)
