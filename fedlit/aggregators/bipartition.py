"""The optimal bipartition of CFL (Sattler et al. 2020): two parts, as little similar as possible."""

from __future__ import annotations

import numpy as np


def bipartition(alpha: np.ndarray) -> tuple[np.ndarray, float]:
    """Of all bipartitions, the one with the smallest of the largest similarities between a client of the one part and a
    client of the other. It joins pairs, the most similar first, until two parts are left.

    Args:
        alpha: similarities of n >= 2 clients, (n, n), symmetric.

    Returns:
        The part without the first client, (n,) bools, and the largest similarity between the two parts.

    >>> bipartition(np.array([[1.0, -0.5, 0.8], [-0.5, 1.0, -0.9], [0.8, -0.9, 1.0]]))
    (array([False,  True, False]), -0.5)
    """
    part, parts = np.arange(len(alpha)), len(alpha)
    first, second = np.triu_indices(len(alpha), k=1)
    for pair in np.argsort(-alpha[first, second], kind="stable"):
        i, j = part[first[pair]], part[second[pair]]
        if i != j and parts == 2:
            return part != part[0], float(alpha[first[pair], second[pair]])
        parts -= i != j
        part[part == j] = i
    raise ValueError("one client has no two parts")
