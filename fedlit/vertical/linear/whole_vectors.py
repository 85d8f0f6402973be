"""Vectors as whole numbers of a fixed point, for ciphers that add whole numbers exactly."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np

from fedlit.vertical.ciphers.base import OwnerKey, PublicKey
from fedlit.vertical.ciphers.numbers import as_bytes, from_bytes
from fedlit.vertical.linear.vectors import Vectors, VectorsOwner, check_range
from fedlit.vertical.party import Message, Part

BITS = 40
"""Fractional bits of a number; a product of two has twice as many."""

LARGEST = 2.0**40


def fixed(values: np.ndarray, bits: int = BITS) -> list[int]:
    """Each number times 2^bits, rounded.

    >>> fixed(np.array([0.75, -1.0]), bits=2)
    [3, -4]
    """
    check_range(values, LARGEST)
    return [int(number) for number in np.rint(np.ldexp(values, bits)).ravel()]


class WholeVectors(Vectors):
    """A vector is a ciphertext a number."""

    def __init__(self, key: PublicKey):
        self.key = key

    def encrypt(self, values: np.ndarray) -> Part:
        return self.key.seal(self.key.encrypt_all(fixed(values)))

    def sum(self, parts: Sequence[Part], values: np.ndarray) -> Part:
        sums = self.key.encrypt_all(fixed(values))
        for part in parts:
            sums = [self.key.add(first, second) for first, second in zip(sums, self.key.opened(part), strict=True)]
        return self.key.seal(sums)

    def masked_products(self, residuals: Part, columns: np.ndarray) -> tuple[Part, list[int]]:
        """R is uniform below n, so X' d + R modulo n is uniform too, whatever X' d is. Where sums do not wrap around, R
        is below n / 4, which is hundreds of bits longer than X' d."""
        key, texts = self.key, self.key.opened(residuals)
        below = key.modulus if key.wraps else key.modulus // 4
        mask = [secrets.randbelow(below) for _ in range(columns.shape[1])]
        factors = [fixed(column) for column in columns.T]

        def masked(column: int) -> object:
            return key.add(key.weighted_sum(texts, factors[column]), key.encrypt(mask[column]))

        return key.seal(key.spread(masked, range(len(mask)))), mask

    def unmasked(self, opened: np.ndarray, mask: Sequence[int]) -> np.ndarray:
        numbers = [_centred(masked - r, self.key.modulus) for masked, r in zip(from_bytes(opened), mask, strict=True)]
        return np.array([number / (1 << 2 * BITS) for number in numbers])

    def encrypt_total(self, number: float) -> Part:
        return self.key.seal([self.key.encrypt(_product(number))])

    def total(self, scores: Part, factors: np.ndarray, other: Part, number: float) -> Part:
        (text,) = self.key.opened(other)
        product = self.key.weighted_sum(self.key.opened(scores), fixed(factors))
        return self.key.seal([self.key.add(self.key.add(product, text), self.key.encrypt(_product(number)))])


class WholeVectorsOwner(VectorsOwner):
    def __init__(self, key: OwnerKey):
        self.key = key

    def message(self) -> Message:
        return self.key.message()

    def open_masked(self, part: Part) -> np.ndarray:
        """(D, width) uint8: numbers modulo n."""
        numbers = self.key.decrypt_all(self.key.opened(part))
        width = (self.key.modulus.bit_length() + 7) // 8
        return as_bytes((number % self.key.modulus for number in numbers), width)

    def open_total(self, part: Part) -> float:
        (text,) = self.key.opened(part)
        return self.key.decrypt(text) / (1 << 2 * BITS)


def _product(number: float) -> int:
    """With the bits of a product of two numbers."""
    return fixed(np.array([number]), 2 * BITS)[0]


def _centred(number: int, modulus: int) -> int:
    """The same number modulo n, from -n / 2 to n / 2."""
    number %= modulus
    return number if number <= modulus // 2 else number - modulus
