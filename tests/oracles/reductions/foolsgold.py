"""Fung et al. 2020, algorithm 1, with the sum of alpha_i Delta_i over the sum of alpha_i. As in the authors' code the
similarity of a client to itself is 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.oracles.reductions.problem import Sent

CASES: list[dict[str, Any]] = [{"kappa": 1.0}, {"kappa": 0.3}]


def reduced(sent: Sent, kappa: float) -> np.ndarray:
    clients = range(len(sent.clients))
    history = [sum(r.x[r.clients.index(c)] for r in [*sent.earlier, sent] if c in r.clients) for c in sent.clients]
    cs = [[0.0 if i == j else cosine(history[i], history[j]) for j in clients] for i in clients]
    v = [max(row) for row in cs]
    for i in clients:
        for j in clients:
            if v[j] > v[i]:
                cs[i][j] *= v[i] / v[j]
    alpha = [1 - max(cs[i]) for i in clients]
    alpha = [a / max(alpha) for a in alpha]
    alpha = [math.inf if a == 1 else -math.inf if a == 0 else kappa * (math.log(a / (1 - a)) + 0.5) for a in alpha]
    alpha = [min(1, max(0, a)) for a in alpha]
    return sum(a * x for a, x in zip(alpha, sent.x, strict=True)) / sum(alpha)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
