"""Vectors of real numbers, under CKKS."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from fedlit.vertical.ciphers.ckks import SLOTS, CkksKey, CkksOwner
from fedlit.vertical.linear.vectors import Vectors, VectorsOwner, check_range
from fedlit.vertical.party import Message, Part, Sealed

LARGEST = 2.0**12
MASK = 2.0**20


class RealVectors(Vectors):
    """A vector is a ciphertext for 4,096 numbers. A sum over people is opened as masked products, a number a person,
    which the owner of the key adds up: a sum under encryption would need keys for rotations, 18 MB of them."""

    def __init__(self, key: CkksKey):
        self.key = key

    def encrypt(self, values: np.ndarray) -> Part:
        check_range(values, LARGEST)
        return self.key.seal(self.key.encrypt(values))

    def sum(self, parts: Sequence[Part], values: np.ndarray) -> Part:
        check_range(values, LARGEST)
        texts = self.key.encrypt(values)
        for part in parts:
            texts = self.key.add(texts, self.key.opened(part))
        return self.key.seal(texts)

    def masked_products(self, residuals: Part, columns: np.ndarray) -> tuple[Part, np.ndarray]:
        """Each product d_i x_ij has a mask of its own, uniform from -2^20 to 2^20: real numbers cannot wrap around, so
        a mask hides a product p except with a probability of |p| 2^-21."""
        key, texts = self.key, self.key.opened(residuals)
        mask = MASK * (2 * _uniform(columns.shape[1], len(texts) * SLOTS) - 1)
        products: list[object] = []
        for column, r in zip(columns.T, mask, strict=True):
            products += key.add(key.times(texts, column), key.encrypt(r))
        return key.seal(products, (len(mask), len(texts))), mask.sum(1)

    def unmasked(self, opened: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return opened - mask

    def encrypt_total(self, number: float) -> Part:
        return self.encrypt(np.array([number]))

    def total(self, scores: Part, factors: np.ndarray, other: Part, number: float) -> Part:
        """The products s_i f_i have masks whose sum is 0: r_i - r_(i-1), with multiples r_i of 1 / 1024."""
        texts = self.key.times(self.key.opened(scores), factors)
        (r,) = np.floor(_uniform(1, len(texts) * SLOTS) * MASK * 1024) / 1024
        mask = r - np.roll(r, 1)
        mask[0] += number
        texts = self.key.add(texts, self.key.encrypt(mask))
        first = self.key.add(texts[:1], self.key.opened(other))
        return self.key.seal(first + texts[1:])


class RealVectorsOwner(VectorsOwner):
    def __init__(self, key: CkksOwner):
        self.key = key

    def message(self) -> Message:
        return self.key.message()

    def open_masked(self, part: Part) -> np.ndarray:
        """(D,) float64, of (D, chunks) ciphertexts."""
        assert isinstance(part, Sealed)
        return self.key.decrypt(self.key.opened(part)).reshape(part.shape[0], -1).sum(1)

    def open_total(self, part: Part) -> float:
        return float(self.key.decrypt(self.key.opened(part)).sum())


def _uniform(rows: int, columns: int) -> np.ndarray:
    """Numbers from 0 to 1 of the operating system's random bits."""
    bits = np.frombuffer(os.urandom(8 * rows * columns), np.uint64).reshape(rows, columns)
    return (bits >> np.uint64(11)) * 2.0**-53
