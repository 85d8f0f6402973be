"""The sums of g and h in one whole number, and several of these in one ciphertext."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.base import PublicKey


@dataclass(frozen=True)
class Packing:
    """A sample is g 2^k + h, where |g| <= 2^f and 0 <= h <= 2^f (Chen et al. 2021, "SecureBoost+", arXiv 2110.10927,
    "GH packing"; its offset of g is not needed with signed numbers). The sum over up to N < 2^b samples is G 2^k + H
    with H < 2^k, where k = f + b. It is below 2^2k in absolute value, so sums that are 2k + 1 bits apart do not meet
    ("cipher compressing" in the same paper).

    Attributes:
        fraction: f, 40 for up to four million samples.
        shift: k.
    """

    fraction: int
    shift: int

    @classmethod
    def of(cls, people: int) -> Packing:
        """Of sums over this number of samples. G and H fit 63 bits."""
        bits = people.bit_length()
        fraction = min(40, 62 - bits)
        return cls(fraction, fraction + bits)

    @property
    def width(self) -> int:
        """Bits of a sum."""
        return 2 * self.shift + 1

    def capacity(self, key: PublicKey) -> int:
        """Sums in one ciphertext; the numbers in it are from -n / 2 to n / 2."""
        return (key.modulus.bit_length() - 2) // self.width

    def packed(self, g: np.ndarray, h: np.ndarray) -> list[int]:
        """A number for each sample."""
        return [(first << self.shift) + second for first, second in zip(g.tolist(), h.tolist(), strict=True)]

    def compressed(self, key: PublicKey, sums: Sequence[Any]) -> Any:
        """A ciphertext of sum_j 2^(j width) v_j, by Horner's scheme; the first number is lowest."""
        total = sums[-1]
        for ciphertext in reversed(sums[:-1]):
            total = key.add(key.times(total, 1 << self.width), ciphertext)
        return key.refresh(total)

    def opened(self, number: int, count: int) -> list[int]:
        """The `count` sums in the number of a ciphertext, the lowest first."""
        half, sums = 1 << (self.width - 1), []
        for _ in range(count):
            lowest = ((number + half) & (2 * half - 1)) - half
            sums.append(lowest)
            number = (number - lowest) >> self.width
        return sums

    def all_opened(self, key: PublicKey, numbers: Sequence[int], count: int) -> list[int]:
        """The sums in all numbers, which are full but the last one; `count` of them."""
        each = self.capacity(key)
        sums: list[int] = []
        for number in numbers:
            sums += self.opened(number, min(each, count - len(sums)))
        return sums

    def unpacked(self, sums: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """G and H, (K,) int64."""
        g = [number >> self.shift for number in sums]  # rounds down, also below zero
        h = [number & ((1 << self.shift) - 1) for number in sums]
        return np.array(g, np.int64), np.array(h, np.int64)
