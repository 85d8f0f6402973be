"""A fixed split into training and test samples."""

from __future__ import annotations

import numpy as np


def stratified(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the training and of the test samples, each sorted.

    Of each class, `fraction` (rounded to whole samples) goes to the test set.

    Args:
        labels: (N,) of any kind; all the same for a split without classes.
    """
    shuffled = rng.permutation(len(labels))
    grouped = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class by class, in random order within
    _, starts, counts = np.unique(labels[grouped], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, counts)  # of a sample in its class
    test = rank < np.repeat(np.rint(counts * fraction), counts)
    return np.sort(grouped[~test]), np.sort(grouped[test])
