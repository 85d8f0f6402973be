"""A fixed split into training and test samples."""

from __future__ import annotations

import numpy as np


def stratified(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split each class at random; returns the sorted positions of the training and of the test samples.

    Args:
        labels: (N,) of any type; all equal for a split without classes.
        fraction: share of each class that goes to the test set, rounded to whole samples.
        rng: random numbers.
    """
    shuffled = rng.permutation(len(labels))
    grouped = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class by class, in random order within a class
    _, starts, counts = np.unique(labels[grouped], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, counts)  # of each sample in its class
    test = rank < np.repeat(np.rint(counts * fraction), counts)
    return np.sort(grouped[~test]), np.sort(grouped[test])
