"""A Little Is Enough: Baruch et al. 2019, algorithm 3."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def z_max(n: int, f: int) -> float:
    s = np.floor(n / 2 + 1) - f
    return float(norm.ppf((n - f - s) / (n - f)))


def sent(known: np.ndarray, n: int, f: int, z: float | None = None) -> np.ndarray:
    """known: (H, P)."""
    mu = sum(known) / len(known)
    sigma = np.sqrt(sum((m - mu) ** 2 for m in known) / len(known))
    return mu - (z_max(n, f) if z is None else z) * sigma
