"""Top-k with memory: Stich et al. 2018, definition 2.1 and algorithm 1, for one vector.

g_t = comp_k(m_t + x_t), m_{t+1} = m_t + x_t - g_t, where comp_k keeps the k entries of largest absolute value.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def comp(x: Array, k: int) -> Array:
    """top_k(x): pi sorts the absolute values in decreasing order, and the first k entries stay."""
    pi = sorted(range(len(x)), key=lambda i: -abs(x[i]))
    return np.array([x[i] if i in pi[:k] else 0.0 for i in range(len(x))])


def decoded(messages: list[Array], k: int, memory: bool) -> list[Array]:
    """g_t of the messages x_t of a client."""
    m, result = np.zeros_like(messages[0]), []
    for x in messages:
        g = comp(m + x, k)
        m = m + x - g if memory else m
        result.append(g)
    return result
