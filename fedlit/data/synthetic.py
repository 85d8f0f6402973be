"""Synthetic(alpha, beta): a classification whose rule and whose inputs differ from site to site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    tests = np.clip(np.round(test_fraction * sizes), 1, sizes - 1).astype(np.int64) if test_fraction else 0 * sizes
    counts = {"train": sizes - tests, "test": tests}
    made = {
        part: (np.empty((n.sum(), FEATURES), np.float32), np.empty(n.sum(), np.int64)) for part, n in counts.items()
    }
    ends = {part: np.concatenate([[0], np.cumsum(n)]) for part, n in counts.items()}
    draws = {part: generator("synthetic", seed, "inputs", part) for part in counts}
    rules = _Rules(seed, None if iid else (alpha, beta))
    for some in _blocks(sizes):
        rule = rules.next(some.stop - some.start)
        for part, n in counts.items():
            x, y = (t[ends[part][some.start] : ends[part][some.stop]] for t in made[part])
            draws[part].standard_normal(out=x, dtype=np.float32)
            y[:] = rule.label(x, n[some])
    train, test = (TensorSamples(*map(torch.from_numpy, made[part])) for part in counts)
    owners = {part: np.repeat(np.arange(sites), n) for part, n in counts.items()}
    return DataSource("synthetic", train, test, CLASSES, (FEATURES,), owners["train"], owners["test"])


@dataclass
class _Rule:
    """How some sites, one after the other, move their inputs and label them; S is 1 where all have one rule."""

    weight: np.ndarray  # (S, FEATURES, CLASSES)
    bias: np.ndarray  # (S, CLASSES)
    centre: np.ndarray  # (S, FEATURES)

    def label(self, x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Make inputs of standard normal numbers (n, FEATURES), in place; their classes (n,).

        Args:
            sizes: how many of them each site has, one after the other.
        """
        x *= np.sqrt(np.arange(1, FEATURES + 1) ** -1.2).astype(np.float32)
        if len(self.weight) == 1:
            sizes = np.array([len(x)])
        if self.centre.any():
            x += np.repeat(self.centre, sizes, axis=0)
        return (_each_by_its_own(x, self.weight, sizes) + np.repeat(self.bias, sizes, axis=0)).argmax(1)


class _Rules:
    """The rules of the sites in their order, some at a time."""

    def __init__(self, seed: int, skew: tuple[float, float] | None):
        """`skew`: (alpha, beta); None gives all sites one rule."""
        self.skew = skew
        self.means, self.entries = generator("synthetic", seed, "means"), generator("synthetic", seed, "rules")
        self.shared = self._rules(generator("synthetic", seed, "rule"), 1)

    def next(self, sites: int) -> _Rule:
        if self.skew is None:
            return _Rule(self.shared.weight, self.shared.bias, np.zeros_like(self.shared.centre))
        u, shift = (self.means.standard_normal((sites, 2)) * self.skew).astype(np.float32).T
        own = self._rules(self.entries, sites)
        own.weight += u[:, None, None]
        own.bias += u[:, None]
        own.centre += shift[:, None]
        return own

    @staticmethod
    def _rules(rng: np.random.Generator, sites: int) -> _Rule:
        numbers = rng.standard_normal((sites, (FEATURES + 1) * CLASSES + FEATURES), np.float32)
        weight, bias, centre = np.split(numbers, [FEATURES * CLASSES, (FEATURES + 1) * CLASSES], axis=1)
        return _Rule(weight.reshape(-1, FEATURES, CLASSES), bias, centre)


def _each_by_its_own(x: np.ndarray, weight: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Scores (n, CLASSES) of inputs (n, FEATURES) whose site is multiplied by its own (S, FEATURES, CLASSES).

    Sites of one size go together: as many products as there are sizes, not as there are sites.
    """
    if len(sizes) == 1:
        return x @ weight[0]
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
