"""Unequal sizes by a law: log-normal or power law."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedlit.partitions.sharing import proportional

Law = Literal["lognormal", "power"]


def weights_by_law(law: Law, skew: float, clients: int, rng: np.random.Generator) -> np.ndarray:
    """How large each client is against the largest, (clients,) floats from 0 to 1, in random order.

    Args:
        law: `lognormal`: the logarithm of a size is normal with standard deviation `skew`; `power`: the r-th largest
            size goes as r ** -skew.
        skew: 0 is equal sizes.
        clients: how many.
        rng: random numbers.
    """
    if law == "lognormal":
        logs = skew * rng.standard_normal(clients)
    else:
        ranks = rng.permutation(clients) + 1
        logs = -skew * np.log(ranks)
    return np.exp(logs - logs.max())


def sizes_by_weight(total: int, weights: np.ndarray, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """Whole sizes (clients,) that sum to `total`, in proportion to the weights except that none is below `min_size`.

    The one factor f with sum(max(min_size, f * weight)) = total is found by sorting. `total` must be at least
    clients * min_size.
    """
    ascending = np.sort(weights)
    clients = len(weights)
    above = np.cumsum(ascending[::-1])[::-1]  # sum of the weights from the j-th smallest on
    factors = (total - min_size * np.arange(clients)) / above  # where the j smallest stand at min_size
    fits = factors * ascending >= min_size  # then the j-th smallest is above it, or at it
    factor = factors[np.argmax(fits)] if fits.any() else 0.0
    beyond = np.maximum(factor * weights - min_size, 0)
    spare = total - clients * min_size
    return min_size + proportional(spare, beyond if beyond.any() else weights, rng)
