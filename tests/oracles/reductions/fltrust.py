"""Cao et al. 2021, algorithm 2: TS_i = ReLU(cos(g_i, g_0)), and g = sum_i TS_i |g_0| / |g_i| g_i / sum_i TS_i."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.foolsgold import cosine
from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{}]


def reduced(sent: Sent) -> np.ndarray:
    g0 = sent.server
    trust = [max(0.0, cosine(g, g0)) for g in sent.x]
    scaled = [np.linalg.norm(g0) / np.linalg.norm(g) * g for g in sent.x]
    return sum(t * g for t, g in zip(trust, scaled, strict=True)) / sum(trust)
