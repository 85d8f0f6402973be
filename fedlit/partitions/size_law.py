"""Unequal sizes by a log-normal law or a power law."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedlit.partitions.sharing import proportional

Law = Literal["lognormal", "power"]


def weights_by_law(law: Law, skew: float, clients: int, rng: np.random.Generator) -> np.ndarray:
    """Sizes relative to the largest, (clients,) floats from 0 to 1, in random order.

    Args:
        law: `lognormal`: log(size) ~ N(mu, skew^2); `power`: the r-th largest size is proportional to r^-skew.
        skew: 0 gives equal sizes.
        clients: number of clients.
        rng: random numbers.
    """
    if law == "lognormal":
        logs = skew * rng.standard_normal(clients)
    else:
        ranks = rng.permutation(clients) + 1
        logs = -skew * np.log(ranks)
    return np.exp(logs - logs.max())


def sizes_by_weight(total: int, weights: np.ndarray, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """Integer sizes (clients,) that sum to `total`, proportional to the weights but at least `min_size`.

    Size k is max(min_size, f w_k), rounded; f solves sum_k max(min_size, f w_k) = total. `total` must be at least
    clients * min_size.
    """
    ascending = np.sort(weights)
    clients = len(weights)
    above = np.cumsum(ascending[::-1])[::-1]  # sum of the weights except the j smallest
    factors = (total - min_size * np.arange(clients)) / above  # f if the j smallest sizes are min_size
    fits = factors * ascending >= min_size  # the next size is then at least min_size
    factor = factors[np.argmax(fits)] if fits.any() else 0.0
    beyond = np.maximum(factor * weights - min_size, 0)
    spare = total - clients * min_size
    return min_size + proportional(spare, beyond if beyond.any() else weights, rng)
