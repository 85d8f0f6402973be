"""Dividing a number of samples between clients in whole samples."""

from __future__ import annotations

import numpy as np


def equal(total: int, clients: int) -> np.ndarray:
    """Sizes (clients,) that differ by at most one, the larger first."""
    return np.full(clients, total // clients) + (np.arange(clients) < total % clients)


def proportional(total: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (clients,) that sum to `total`: each its exact share rounded up or down, and its share on average.

    Systematic sampling in random order (Madow 1949). Rounding to the nearest would give everything to the largest where
    shares are below one, as they are with more clients than samples of a class.

    Args:
        total: samples to divide.
        weights: (clients,) floats, not negative, at least one positive.
        rng: for the order and the start.
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    cuts = np.floor(ends * (total / ends[-1]) + rng.random()).astype(np.int64)
    cuts = np.minimum(cuts, total)
    cuts[np.searchsorted(ends, ends[-1]) :] = total  # where the last weight is reached, against rounding
    counts = np.empty(len(weights), np.int64)
    counts[order] = np.diff(cuts, prepend=0)
    return counts


def largest_remainder(total: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (clients,) that sum to `total`, in proportion to whole weights: rounded down, and what is left over goes
    to the largest remainders, ties at random (Hamilton's method).

    Args:
        total: samples to divide.
        weights: (clients,) ints, not negative, at least one positive.
        rng: for ties.
    """
    whole = int(weights.sum())
    counts, rest = np.divmod(weights * total, whole)
    left = total - int(counts.sum())
    if left:
        least = np.partition(rest, -left)[-left]  # the smallest remainder that still gets one
        above = rest > least
        ties = rng.permutation(np.flatnonzero(rest == least))[: left - np.count_nonzero(above)]
        counts[above] += 1
        counts[ties] += 1
    return counts


def hand_out(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The owner (N,) of each of `sizes.sum()` samples, handed out at random: client k gets sizes[k] of them."""
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
