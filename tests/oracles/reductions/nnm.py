"""Allouah et al. 2023, algorithm 2: y_i is the mean of the n - f inputs closest to x_i, x_i included."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent, by_inner

CASES: list[dict[str, Any]] = [
    {"f": 3, "inner": {"rule": "krum", "f": 3}},
    {"f": 2, "inner": {"rule": "trimmed_mean", "f": 2}},
    {"f": 2, "inner": {"rule": "mean"}},
]


def reduced(sent: Sent, f: int, inner: dict[str, Any]) -> np.ndarray:
    mixed = []
    for x in sent.x:
        nearest = sorted(sent.x, key=lambda other, x=x: np.linalg.norm(x - other))
        mixed.append(np.mean(nearest[: len(sent.x) - f], axis=0))
    return by_inner(sent, np.array(mixed), inner)
