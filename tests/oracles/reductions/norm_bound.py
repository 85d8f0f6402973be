"""Sun et al. 2019, section 4: sum_k Delta_k / max(1, |Delta_k| / M) / n. M is the median norm where none is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"tau": 2.0}, {"tau": None}, {"tau": 1e9}]


def reduced(sent: Sent, tau: float | None) -> np.ndarray:
    norms = [np.sqrt(sum(x**2)) for x in sent.x]
    bound = np.median(norms) if tau is None else tau
    return sum(x / max(1, norm / bound) for x, norm in zip(sent.x, norms, strict=True)) / len(norms)
