"""Synthetic(alpha, beta): a classification whose rule and whose inputs differ from site to site."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.randomness import generator

FEATURES, CLASSES = 60, 10
_NUMBERS = 2_000_000  # inputs are made for so many sites together that they hold about so many numbers


def synthetic(
    alpha: float = 1.0,
    beta: float = 1.0,
    sites: int = 30,
    iid: bool = False,
    size_log_mean: float = 4.0,
    size_log_std: float = 2.0,
    min_size: int = 50,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> DataSource:
    """The data of Li et al. 2020, "Federated optimization in heterogeneous networks", section 5.1.

    Site k labels its inputs by `argmax(W_k x + b_k)` with entries `W_k, b_k ~ N(u_k, 1)`, `u_k ~ N(0, alpha)`, and
    draws `x ~ N(v_k, Sigma)` with `Sigma_jj = j^-1.2`, entries `v_k ~ N(B_k, 1)`, `B_k ~ N(0, beta)`. As in the
    authors' code, alpha and beta are standard deviations, and `min_size` is added to each site's log-normal size.

    Sites are made many at a time, from streams that go through the sites in order: a million are made in seconds, and a
    site is the same whatever the number of sites.

    Args:
        alpha: how much the sites' rules differ.
        beta: how much the sites' inputs differ.
        sites: S, the natural clients.
        iid: one rule for all sites, `W, b ~ N(0, 1)`, and `v_k = 0`; alpha and beta are not used.
        size_log_mean, size_log_std: of the logarithm of a site's size, in samples.
        test_fraction: of each site's samples.
        seed: of the data set itself; the run's seed does not change it.
    """
    sizes = (
        generator("synthetic", seed, "sizes").lognormal(size_log_mean, size_log_std, sites).astype(np.int64) + min_size
    )
    tests = np.maximum(1, np.round(test_fraction * sizes)).astype(np.int64) if test_fraction else np.zeros_like(sizes)
    counts = {"train": sizes - tests, "test": tests}
    inputs = {part: np.empty((n.sum(), FEATURES), np.float32) for part, n in counts.items()}
    labels = {part: np.empty(n.sum(), np.int64) for part, n in counts.items()}
    written = {"train": 0, "test": 0}
    made = _Sites(seed, None if iid else (alpha, beta))
    for some in _blocks(sizes):
        x, y = made.next(sizes[some])
        place = _ascending(sizes[some])  # of a sample within its site
        trains = place < np.repeat(counts["train"][some], sizes[some])
        for part, chosen in (("train", np.flatnonzero(trains)), ("test", np.flatnonzero(~trains))):
            to = slice(written[part], written[part] + len(chosen))
            inputs[part][to], labels[part][to] = x[chosen], y[chosen]
            written[part] = to.stop
    train, test = (TensorSamples(*map(torch.from_numpy, (inputs[p], labels[p]))) for p in counts)
    owners = {part: np.repeat(np.arange(sites), n) for part, n in counts.items()}
    return DataSource("synthetic", train, test, CLASSES, (FEATURES,), owners["train"], owners["test"])


class _Sites:
    """Makes the samples of one site after the other, several at a time; each kind of draw has a stream of its own."""

    def __init__(self, seed: int, skew: tuple[float, float] | None):
        """`skew`: (alpha, beta); None gives all sites one rule and one centre."""
        self.skew = skew
        shared = generator("synthetic", seed, "rule")
        self.rule = (
            shared.standard_normal((1, FEATURES, CLASSES), np.float32),
            shared.standard_normal(CLASSES, np.float32),
        )
        self.means, self.entries, self.draws = (
            generator("synthetic", seed, name) for name in ("means", "rules", "inputs")
        )
        self.deviation = np.sqrt(np.arange(1, FEATURES + 1) ** -1.2).astype(np.float32)

    def next(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (n, FEATURES) float32 and classes (n,) of the next sites, (S,) samples each."""
        x = self.draws.standard_normal((sizes.sum(), FEATURES), np.float32)
        x *= self.deviation
        if self.skew is None:
            return x, (x @ self.rule[0][0] + self.rule[1]).argmax(1)
        u, shift = (self.means.standard_normal((len(sizes), 2)) * self.skew).astype(np.float32).T
        entries = self.entries.standard_normal((len(sizes), FEATURES * CLASSES + CLASSES + FEATURES), np.float32)
        weight, bias, centre = np.split(entries, [FEATURES * CLASSES, FEATURES * CLASSES + CLASSES], axis=1)
        weight, bias = (weight + u[:, None]).reshape(-1, FEATURES, CLASSES), bias + u[:, None]
        x += np.repeat(centre + shift[:, None], sizes, axis=0)
        return x, (_each_by_its_own(x, weight, sizes) + np.repeat(bias, sizes, axis=0)).argmax(1)


def _each_by_its_own(x: np.ndarray, weight: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Scores (n, CLASSES) of inputs (n, FEATURES) whose site is multiplied by its own (S, FEATURES, CLASSES).

    Sites of one size go together: as many products as there are sizes, not as there are sites.
    """
    scores = np.empty((len(x), CLASSES), np.float32)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        rows = starts[of_size][:, None] + np.arange(size)  # (sites of this size, size)
        scores[rows] = x[rows] @ weight[of_size]
    return scores


def _blocks(sizes: np.ndarray) -> Iterator[slice]:
    """Sites in order, cut so that the inputs or the rules of a block hold about `_NUMBERS` numbers."""
    cost = np.cumsum(sizes * FEATURES + FEATURES * CLASSES)
    begin = 0
    while begin < len(sizes):
        done = cost[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(cost, done + _NUMBERS)))
        yield slice(begin, end)
        begin = end


def _ascending(sizes: np.ndarray) -> np.ndarray:
    """0 to size - 1 for each size, one after the other."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
