"""Columns with mean 0 and standard deviation 1, by each party for itself."""

from __future__ import annotations

import numpy as np


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Args:
        train, test: (N, D) and (M, D), or (N,) and (M,); NaN where a value is missing.

    Returns:
        (x - mean) / standard deviation, both of the training rows. A missing value counts as the mean, a column with
        the same value in all training rows as 0.
    """
    known = ~np.isnan(train)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, train, 0).sum(0) / count
    deviation = np.sqrt((np.where(known, train - mean, 0) ** 2).sum(0) / count)
    constant = deviation <= 1e-12 * np.abs(mean)  # what rounding leaves

    def scaled(values: np.ndarray) -> np.ndarray:
        z = (values - mean) / np.where(constant, 1, deviation)
        return np.where(np.isnan(z) | constant, 0, z)

    return scaled(train), scaled(test)
