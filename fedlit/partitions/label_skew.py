"""The samples of each class divided by a Dirichlet draw."""

from __future__ import annotations

import numpy as np

from fedlit.partitions.base import Labelled, class_count
from fedlit.partitions.least_size import check_least_size, raise_to_least_size
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import proportional


def spread_classes(
    data: Labelled,
    clients: int,
    rng: np.random.Generator,
    alpha: float,
    min_size: int,
    draws: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """The owner (N,) of each sample; each class is divided by its own Dirichlet draw.

    At most `draws` draws are made, until every client has `min_size` samples. Otherwise the draw with the fewest
    missing samples is repaired by `raise_to_least_size`, so that the loop always ends.

    Args:
        data: the training set, with labels.
        clients: number of clients.
        rng: random numbers.
        alpha: concentration of the Dirichlet distribution, above 0.
        min_size: least number of samples of a client.
        draws: largest number of draws.
        weights: (clients,) relative sizes of the clients; None: equal.
    """
    assert data.labels is not None
    check_least_size(data.size, clients, min_size)
    shuffled = rng.permutation(data.size)
    by_class = Shards.from_owner(data.labels[shuffled], class_count(data))
    tilt = np.zeros(clients) if weights is None else np.log(np.maximum(weights, np.finfo(float).tiny))
    best, fewest = np.empty(0, np.int64), data.size + 1
    for _ in range(draws):
        drawn = _draw(by_class.sizes, clients, rng, alpha, tilt)
        missing = np.maximum(min_size - np.bincount(drawn, minlength=clients), 0)
        if missing.sum() < fewest:
            best, fewest = drawn, int(missing.sum())
        # With m clients below min_size, the next draw succeeds with a probability of about exp(-m).
        if fewest == 0 or np.count_nonzero(missing) > draws:
            break
    owner = np.empty_like(best)
    owner[shuffled[by_class.indices]] = best
    return raise_to_least_size(owner, clients, min_size, rng)


def _draw(sizes: np.ndarray, clients: int, rng: np.random.Generator, alpha: float, tilt: np.ndarray) -> np.ndarray:
    """One draw: the owners (N,) of the samples, sorted by class.

    Class by class, because a table (clients, classes) may not fit into memory.
    """
    numbers = np.arange(clients)
    return np.concatenate(
        [np.repeat(numbers, proportional(int(n), dirichlet(clients, alpha, rng, tilt), rng)) for n in sizes if n]
    )


def dirichlet(size: int, alpha: float, rng: np.random.Generator, tilt: np.ndarray | float = 0.0) -> np.ndarray:
    """Weights (size,) proportional to p exp(tilt), with p ~ Dirichlet(alpha, ..., alpha).

    Computed in logarithms, because Gamma draws of a small alpha all underflow to zero:
    log G(alpha) = log G(alpha + 1) + log(U) / alpha (Marsaglia and Tsang 2000, section 6).
    """
    logs = np.log(rng.standard_gamma(alpha + 1, size)) + np.log1p(-rng.random(size)) / alpha + tilt
    return np.exp(logs - logs.max())
