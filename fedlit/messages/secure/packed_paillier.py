"""Paillier's cipher for vectors of integers, many in one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.messages.secure.ciphers import Cipher, KeyHolder
from fedlit.messages.secure.paillier import PrivateKey, PublicKey


@dataclass(frozen=True)
class Packing:
    """Several integers as one: sum_i z_i 2^(bits i). Sums of packed numbers are packed sums, as long as each sum stays
    between -2^(bits-1) and 2^(bits-1) - 1.

    >>> packing = Packing(bits=32, slots=3)
    >>> first, second = packing.packed([5, -7, 1]), packing.packed([-6, 2, 9])
    >>> packing.unpacked(first + second)
    [-1, -5, 10]
    """

    bits: int
    slots: int

    def packed(self, integers: list[int]) -> int:
        packed = 0
        for z in reversed(integers):
            packed = (packed << self.bits) + z
        return packed

    def unpacked(self, packed: int) -> list[int]:
        integers, half = [], 1 << (self.bits - 1)
        for _ in range(self.slots):
            z = (packed + half) % (2 * half) - half
            integers.append(z)
            packed = (packed - z) >> self.bits
        return integers


class PaillierCipher(Cipher):
    def __init__(self, key: PublicKey):
        self.key = key

    def added(self, first: bytes, second: bytes) -> bytes:
        pairs = zip(self.numbers(first), self.numbers(second), strict=True)
        return self.joined([self.key.add(number, other) for number, other in pairs])

    def joined(self, numbers: list[Any]) -> bytes:
        return b"".join(int(number).to_bytes(self.key.size, "big") for number in numbers)

    def numbers(self, ciphertext: bytes) -> list[Any]:
        import gmpy2

        size = self.key.size
        texts = [ciphertext[at : at + size] for at in range(0, len(ciphertext), size)]
        return [gmpy2.mpz(int.from_bytes(text, "big")) for text in texts]


class PaillierKeyHolder(KeyHolder):
    """Integers (int64), as many in a number as its bits hold.

    Args:
        bits: of a sum of integers.
    """

    def __init__(self, key: PrivateKey, bits: int):
        self.key = key
        self.cipher: PaillierCipher = PaillierCipher(key.public)
        self.packing = Packing(bits, (key.public.n.bit_length() - 2) // bits)

    def encrypted(self, vector: np.ndarray) -> bytes:
        integers, slots = vector.tolist(), self.packing.slots
        parts = [integers[at : at + slots] for at in range(0, len(integers), slots)]
        return self.cipher.joined([self.key.encrypt(self.packing.packed(part)) for part in parts])

    def decrypted(self, ciphertext: bytes, size: int) -> np.ndarray:
        numbers = [self.key.decrypt(number) for number in self.cipher.numbers(ciphertext)]
        return np.array([z for number in numbers for z in self.packing.unpacked(number)][:size], np.int64)
