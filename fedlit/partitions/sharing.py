"""Division of a number of samples among clients, in whole samples."""

from __future__ import annotations

import numpy as np


def equal(total: int, clients: int) -> np.ndarray:
    """Sizes (clients,) that sum to `total` and differ by at most one, the larger first."""
    return np.full(clients, total // clients) + (np.arange(clients) < total % clients)


def proportional(total: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (clients,) that sum to `total`: total w_k / sum(w), rounded up or down at random and without bias.

    Systematic sampling in random order (Madow 1949). Rounding to the nearest integer would give nothing to clients with
    shares below one half, which are common with more clients than samples of a class.

    Args:
        total: number of samples to divide.
        weights: w, (clients,) floats, not negative, at least one positive.
        rng: draws the order and the start.
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    cuts = np.floor(ends * (total / ends[-1]) + rng.random()).astype(np.int64)
    cuts = np.minimum(cuts, total)
    cuts[np.searchsorted(ends, ends[-1]) :] = total  # rounding errors must not lose the last sample
    counts = np.empty(len(weights), np.int64)
    counts[order] = np.diff(cuts, prepend=0)
    return counts


def largest_remainder(total: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (clients,) that sum to `total`, in proportion to integer weights, by the largest remainder.

    Hamilton's method: floor(total w_k / sum(w)) each, then one more for the largest remainders, ties at random.

    Args:
        total: number of samples to divide.
        weights: w, (clients,) ints, not negative, at least one positive.
        rng: draws among ties.
    """
    counts, remainders = np.divmod(weights * total, int(weights.sum()))
    undivided = total - int(counts.sum())
    if undivided:
        threshold = np.partition(remainders, -undivided)[-undivided]  # the smallest remainder that gets one more
        above = remainders > threshold
        ties = rng.permutation(np.flatnonzero(remainders == threshold))[: undivided - np.count_nonzero(above)]
        counts[above] += 1
        counts[ties] += 1
    return counts


def hand_out(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Owners (N,) of N = sizes.sum() samples in random order; client k owns sizes[k] of them."""
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
