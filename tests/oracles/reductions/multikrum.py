"""Blanchard et al. 2017, section 4: the mean of the m vectors with the smallest scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.krum import scores
from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"f": 2}, {"f": 3}, {"f": 2, "m": 3}]


def reduced(sent: Sent, f: int, m: int | None = None) -> np.ndarray:
    n = len(sent.x)
    ranked = sorted(range(n), key=scores(sent.x, n - f - 2).__getitem__)
    return np.mean([sent.x[i] for i in ranked[: m or n - f]], axis=0)
