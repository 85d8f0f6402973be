"""An oracle for secure sums, in Python's integers and fractions: what the mean is, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def step(bits: int, limit: float, largest_weight: int) -> Fraction:
    """The smallest power of two for which `largest_weight` entries of the limit stay below 2^(bits - 1)."""
    smallest = Fraction(1, 2**80)
    while -(-Fraction(limit) // smallest) * largest_weight > 2 ** (bits - 1) - 1:
        smallest *= 2
    return smallest


def mean(rows: Sequence[Sequence[float]], counts: Sequence[int], step: Fraction, dtype: type) -> np.ndarray:
    """sum_k n_k round(x_k / step) step / sum_k n_k, rounded to even, and once more to the type."""
    total = sum(counts)
    means = []
    for column in zip(*rows, strict=True):
        integer = sum(n * round(Fraction(float(x)) / step) for n, x in zip(counts, column, strict=True))
        means.append(dtype(float(integer * step) / total))
    return np.array(means)
