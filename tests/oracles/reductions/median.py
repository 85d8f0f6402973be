"""Yin et al. 2018, definition 1: the usual median of each coordinate."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{}]


def reduced(sent: Sent) -> np.ndarray:
    return np.median(sent.x, axis=0)
