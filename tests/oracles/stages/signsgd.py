"""EF-signSGD: Karimireddy et al. 2019, algorithm 1, for one vector.

p_t = x_t + e_t, Delta_t = (||p_t||_1 / d) sgn(p_t), e_{t+1} = p_t - Delta_t.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def scaled_sign(p: Array) -> Array:
    scale = sum(abs(x) for x in p) / len(p)
    return np.array([scale if x >= 0 else -scale for x in p])


def decoded(messages: list[Array], feedback: bool, cuts: list[int]) -> list[Array]:
    """Delta_t of the messages of a client.

    Args:
        cuts: the parts of the vector that have a scale: they begin at 0 and at the cuts.
    """
    e, result = np.zeros_like(messages[0]), []
    for x in messages:
        p = x + e
        delta = np.concatenate([scaled_sign(part) for part in np.split(p, cuts)])
        e = p - delta if feedback else e
        result.append(delta)
    return result
