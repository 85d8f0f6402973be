"""Yin et al. 2018, definition 2: the largest and smallest beta n values of each coordinate are removed; f = beta n."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"f": 2}, {"f": 0}, {"f": 4}]


def reduced(sent: Sent, f: int) -> np.ndarray:
    result = []
    for column in sent.x.T:
        left = list(column)
        for _ in range(f):
            left.remove(max(left))
            left.remove(min(left))
        result.append(sum(left) / len(left))
    return np.array(result)
