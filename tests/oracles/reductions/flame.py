"""Nguyen et al. 2022, algorithm 1, with HDBSCAN written out for clusters of n // 2 + 1 clients or more and one
neighbour: pairs are joined by growing distance until a component has the clients of a cluster; the others are noise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tests.oracles.reductions.foolsgold import cosine
from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"lam": 0.0}, {"lam": 0.5}]


def reduced(sent: Sent, lam: float) -> np.ndarray:
    models = [sent.received + x for x in sent.x]
    accepted = majority(models)
    norms = [np.linalg.norm(x) for x in sent.x]
    s = np.median(norms)
    clipped = [sent.x[i] * min(1, s / norms[i]) for i in accepted]
    noise = sent.generator("reduction.flame", "delta.weights").normal(0, lam * s, len(sent.received))
    return sum(clipped) / len(clipped) + noise


def majority(models: list[np.ndarray]) -> list[int]:
    component = [{i} for i in range(len(models))]
    pairs = itertools.combinations(range(len(models)), 2)
    for i, j in sorted(pairs, key=lambda pair: 1 - cosine(models[pair[0]], models[pair[1]])):
        joined = component[i] | component[j]
        for k in joined:
            component[k] = joined
        if len(joined) >= len(models) // 2 + 1:
            return sorted(joined)
    raise AssertionError
