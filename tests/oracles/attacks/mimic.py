"""Mimic: Karimireddy, He and Jaggi 2022, section 4, with the warm-up of the authors' code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def sent(rounds: Sequence[dict[int, np.ndarray]], z: np.ndarray, warmup: int) -> list[np.ndarray]:
    """What the malicious clients send in each round.

    Args:
        rounds: client -> its honest message, of each round.
        z: the first direction.
    """
    messages, mimicked, mu = [], -1, np.zeros_like(z)
    for t, honest in enumerate(rounds):
        if t < warmup:
            mu = t / (1 + t) * mu + np.mean(list(honest.values()), axis=0) / (1 + t)
            v = sum(((m - mu) @ z) * (m - mu) for m in honest.values())
            z = t / (1 + t) * z + v / np.linalg.norm(v) / (1 + t) if t else v / np.linalg.norm(v)
            z = z / np.linalg.norm(z)
            mimicked = max(honest, key=lambda client: float(honest[client] @ z))
        target = mimicked if mimicked in honest else max(honest, key=lambda client: float(honest[client] @ z))
        messages.append(honest[target])
    return messages
