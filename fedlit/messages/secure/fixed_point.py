"""Real numbers as whole ones modulo 2^32 or 2^64, whose sums are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FixedPoint:
    """x becomes the integer round(x / step) modulo 2^bits, for |x| up to `range`.

    A sum of integers is exact as long as it stays within 2^(bits-1). `finest` has the smallest step, a power of two,
    for which no sum of the given weight can leave it.

    >>> ring = FixedPoint.finest(bits=32, range=8.0, weight=50)
    >>> ring.step == 2.0**-22, ring.integers(np.array([8.0, -0.5])).tolist()
    (True, [33554432, -2097152])

    Attributes:
        bits: 32 or 64.
        step: the distance between two numbers that can be told apart.
    """

    bits: int
    step: float

    @classmethod
    def finest(cls, bits: int, range: float, weight: int) -> FixedPoint:
        """
        Args:
            weight: the largest sum of the whole weights with which numbers are added.

        Raises:
            OverflowError: no step can hold the range.
        """
        room = (2 ** (bits - 1) - 1) // weight  # the largest integer of one number
        if room < 1:
            raise OverflowError
        exponent = math.floor(math.log2(room / range)) + 1
        while math.ceil(range * 2.0**exponent) > room:
            exponent -= 1
        return cls(bits, 2.0**-exponent)

    @property
    def dtype(self) -> np.dtype:
        """Of the words that travel."""
        return np.dtype(f"uint{self.bits}")

    def integers(self, numbers: np.ndarray) -> np.ndarray:
        """int64 of the same shape."""
        return np.rint(numbers / self.step).astype(np.int64)

    def words(self, integers: np.ndarray) -> np.ndarray:
        """int64 modulo 2^bits."""
        return integers.astype(self.dtype)

    def sums(self, words: np.ndarray) -> np.ndarray:
        """The integers (int64) that the words stand for, between -2^(bits-1) and 2^(bits-1) - 1."""
        return words.view(f"int{self.bits}").astype(np.int64)
