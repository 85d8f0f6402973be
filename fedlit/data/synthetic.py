"""Synthetic(alpha, beta): a classification in which rules and inputs differ between sites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.randomness import generator

FEATURES, CLASSES = 60, 10
_BLOCK_NUMBERS = 2_000_000  # inputs, or entries of rules, that are generated at a time


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
    """The data of Li et al. 2020, "Federated optimization in heterogeneous networks" (arXiv:1812.06127), section 5.1.

    Site k labels its inputs by

        y = argmax(W_k x + b_k),  entries of W_k and b_k ~ N(u_k, 1),  u_k ~ N(0, alpha),
        x ~ N(v_k, Sigma),  Sigma_jj = j^-1.2,  entries of v_k ~ N(B_k, 1),  B_k ~ N(0, beta).

    As in the authors' code, alpha and beta are standard deviations, and `min_size` is added to the log-normal size.

    Blocks of sites are generated together, from streams that pass through the sites in order. A million sites take
    seconds, and a site is the same for any number of sites.

    Args:
        alpha: standard deviation of u_k: how much the sites' rules differ.
        beta: standard deviation of B_k: how much the sites' inputs differ.
        sites: S, the number of natural clients.
        iid: one rule for all sites, `W, b ~ N(0, 1)`, and `v_k = 0`; alpha and beta are not used.
        size_log_mean: mean of the logarithm of a site's size in samples.
        size_log_std: standard deviation of that logarithm.
        min_size: samples added to each site's size.
        test_fraction: share of each site's samples that is its test set.
        seed: seed of the data set; the run's seed does not change it.
    """
    sizes = (
        generator("synthetic", seed, "sizes").lognormal(size_log_mean, size_log_std, sites).astype(np.int64) + min_size
    )
    tests = np.clip(np.round(test_fraction * sizes), 1, sizes - 1).astype(np.int64) if test_fraction else 0 * sizes
    counts = {"train": sizes - tests, "test": tests}
    arrays = {
        part: (np.empty((n.sum(), FEATURES), np.float32), np.empty(n.sum(), np.int64)) for part, n in counts.items()
    }
    ends = {part: np.concatenate([[0], np.cumsum(n)]) for part, n in counts.items()}
    draws = {part: generator("synthetic", seed, "inputs", part) for part in counts}
    rules = _Rules(seed, None if iid else (alpha, beta))
    for block in _blocks(sizes):
        rule = rules.next(block.stop - block.start)
        for part, n in counts.items():
            x, y = (array[ends[part][block.start] : ends[part][block.stop]] for array in arrays[part])
            draws[part].standard_normal(out=x, dtype=np.float32)
            y[:] = rule.label(x, n[block])
    train, test = (TensorSamples(*map(torch.from_numpy, arrays[part])) for part in counts)
    owners = {part: np.repeat(np.arange(sites), n) for part, n in counts.items()}
    return DataSource("synthetic", train, test, CLASSES, (FEATURES,), owners["train"], owners["test"])


@dataclass
class _Rule:
    """Rules and input means of S consecutive sites; S is 1 if all sites share one rule."""

    weight: np.ndarray  # (S, FEATURES, CLASSES)
    bias: np.ndarray  # (S, CLASSES)
    centre: np.ndarray  # (S, FEATURES)

    def label(self, x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Turn standard normal numbers into inputs, in place, and return their classes (n,).

        Args:
            x: (n, FEATURES), site after site.
            sizes: (S,) number of rows of each site.
        """
        x *= np.sqrt(np.arange(1, FEATURES + 1) ** -1.2).astype(np.float32)
        if len(self.weight) == 1:
            sizes = np.array([len(x)])
        if self.centre.any():
            x += np.repeat(self.centre, sizes, axis=0)
        return (_products(x, self.weight, sizes) + np.repeat(self.bias, sizes, axis=0)).argmax(1)


class _Rules:
    """Draws the rules of the sites in order, block by block."""

    def __init__(self, seed: int, skew: tuple[float, float] | None):
        """`skew`: (alpha, beta); None: all sites share one rule."""
        self.skew = skew
        self.means, self.entries = generator("synthetic", seed, "means"), generator("synthetic", seed, "rules")
        self.shared = self._rules(generator("synthetic", seed, "rule"), 1)

    def next(self, sites: int) -> _Rule:
        if self.skew is None:
            return _Rule(self.shared.weight, self.shared.bias, np.zeros_like(self.shared.centre))
        u, shift = (self.means.standard_normal((sites, 2)) * self.skew).astype(np.float32).T
        rule = self._rules(self.entries, sites)
        rule.weight += u[:, None, None]
        rule.bias += u[:, None]
        rule.centre += shift[:, None]
        return rule

    @staticmethod
    def _rules(rng: np.random.Generator, sites: int) -> _Rule:
        numbers = rng.standard_normal((sites, (FEATURES + 1) * CLASSES + FEATURES), np.float32)
        weight, bias, centre = np.split(numbers, [FEATURES * CLASSES, (FEATURES + 1) * CLASSES], axis=1)
        return _Rule(weight.reshape(-1, FEATURES, CLASSES), bias, centre)


def _products(x: np.ndarray, weight: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Scores (n, CLASSES): the inputs (n, FEATURES) of each site times the site's weight (S, FEATURES, CLASSES).

    Sites of equal size are multiplied together, so there is one product for each size.
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
    """Consecutive sites whose inputs and rules together hold about `_BLOCK_NUMBERS` numbers."""
    cost = np.cumsum(sizes * FEATURES + FEATURES * CLASSES)
    begin = 0
    while begin < len(sizes):
        previous = cost[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(cost, previous + _BLOCK_NUMBERS)))
        yield slice(begin, end)
        begin = end
