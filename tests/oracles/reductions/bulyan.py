"""El Mhamdi et al. 2018, section 4: Krum is asked theta = n - 2 f times, each time without the vectors that it has
chosen; G[k] is the mean of the beta = theta - 2 f chosen values that are closest to their median."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.krum import scores
from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"f": 2}, {"f": 1}, {"f": 0}]


def reduced(sent: Sent, f: int) -> np.ndarray:
    left, chosen = list(sent.x), []
    for _ in range(len(sent.x) - 2 * f):
        best = int(np.argmin(scores(np.array(left), max(1, len(left) - f - 2))))
        chosen.append(left.pop(best))
    beta = len(chosen) - 2 * f
    result = []
    for column in np.array(chosen).T:
        median = np.median(column)
        result.append(np.mean(sorted(column, key=lambda value, median=median: abs(value - median))[:beta]))
    return np.array(result)
