"""FedAvg: McMahan et al. 2017, sum_k n_k x_k / n."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{}]


def reduced(sent: Sent) -> np.ndarray:
    return sum(n * x for n, x in zip(sent.examples, sent.x, strict=True)) / sent.examples.sum()
