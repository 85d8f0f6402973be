"""Karimireddy et al. 2022, section 4: a random permutation of the clients is cut into buckets of s, and the rule gets
y_i, the mean of bucket i."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent, by_inner

CASES: list[dict[str, Any]] = [
    {"s": 2, "inner": {"rule": "krum", "f": 1}},
    {"s": 3, "inner": {"rule": "median"}},
    {"s": 2, "inner": {"rule": "mean"}},
]


def reduced(sent: Sent, s: int, inner: dict[str, Any]) -> np.ndarray:
    order = sent.generator("reduction.bucketing").permutation(len(sent.x)).tolist()
    buckets = []
    while order:
        bucket, order = order[:s], order[s:]
        buckets.append(np.mean([sent.x[i] for i in bucket], axis=0))
    return by_inner(sent, np.array(buckets), inner)
