"""PowerSGD: Vogels et al. 2019, algorithm 1 (rank-r compression) and 2 (error feedback), for one matrix of the workers.

Every worker keeps e_w = Delta_w - P Q^T with the mean Q, as in algorithm 2, and all workers take part.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def orthogonalised(p: Array) -> Array:
    """Gram-Schmidt, column by column."""
    p = p.copy()
    for i in range(p.shape[1]):
        for j in range(i):
            p[:, i] -= p[:, j] * (p[:, j] @ p[:, i])
        p[:, i] /= np.sqrt(p[:, i] @ p[:, i])
    return p


def means(rounds: list[list[Array]], q: Array, shares: list[float], feedback: bool) -> list[Array]:
    """The decompressed mean of each round.

    Args:
        rounds: round -> worker -> its matrix (n, m).
        q: (m, r) at the start.
        shares: of the workers in a mean.
    """
    errors = [np.zeros_like(m) for m in rounds[0]]
    result = []
    for matrices in rounds:
        deltas = [m + e for m, e in zip(matrices, errors, strict=True)]
        p = orthogonalised(sum(a * (d @ q) for a, d in zip(shares, deltas, strict=True)))
        q = sum(a * (d.T @ p) for a, d in zip(shares, deltas, strict=True))
        mean = p @ q.T
        if feedback:
            errors = [d - mean for d in deltas]
        result.append(mean)
    return result
