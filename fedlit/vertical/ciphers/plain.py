"""No cipher: whole numbers as they are, by the arithmetic of a cipher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import IntegerCipher, OwnerKey
from fedlit.vertical.ciphers.numbers import as_bytes, from_bytes
from fedlit.vertical.ciphers.workers import check_workers, spread
from fedlit.vertical.party import Message, Part


@dataclass(frozen=True)
class Plain(IntegerCipher):
    """Nothing is hidden. Sums wrap around modulo 2^bits as those of a cipher do, so a protocol gives the same numbers
    as under a cipher, in a hundredth of the time.

    Args:
        bits: of the modulus.
        workers: processes that share the arithmetic of one party.
    """

    name: ClassVar[str] = "plain"
    hides: ClassVar[bool] = False

    bits: int = 2048
    workers: int = 1

    def check(self) -> None:
        check_workers(self.workers)
        if not isinstance(self.bits, int) or self.bits < 64:
            raise InputError(f"cipher.bits={self.bits!r} is too few for the sums of a protocol; write 2048.")

    def generate(self) -> PlainKey:
        return PlainKey(self.bits, self.workers)

    def public(self, message: Message) -> PlainKey:
        (bits,) = from_bytes(message["key"])
        return PlainKey(bits, self.workers)


class PlainKey(OwnerKey):
    """Ciphertexts are the whole numbers from -2^(bits-1) to 2^(bits-1) - 1 themselves."""

    def __init__(self, bits: int, workers: int = 1):
        self.bits, self.modulus, self.workers = bits, 1 << bits, workers
        self._half = self.modulus // 2
        self._width = (bits + 7) // 8

    def message(self) -> Message:
        return {"key": as_bytes([self.bits], 4)}

    def encrypt(self, value: int) -> int:
        return self._wrapped(int(value))

    def decrypt(self, ciphertext: int) -> int:
        return ciphertext

    def add(self, first: int, second: int) -> int:
        return self._wrapped(first + second)

    def subtract(self, first: int, second: int) -> int:
        return self._wrapped(first - second)

    def times(self, ciphertext: int, factor: int) -> int:
        return self._wrapped(ciphertext * int(factor))

    def weighted_sum(self, ciphertexts: Sequence[int], factors: Sequence[int]) -> int:
        return self._wrapped(sum(map(mul, ciphertexts, map(int, factors))))

    def refresh(self, ciphertext: int) -> int:
        return ciphertext

    def zero(self) -> int:
        return 0

    def seal(self, ciphertexts: Iterable[int], shape: tuple[int, ...] | None = None) -> np.ndarray:
        """(count, width) uint8; a negative number is written as itself plus 2^bits."""
        return as_bytes((number % self.modulus for number in ciphertexts), self._width)

    def opened(self, part: Part) -> list[Any]:
        return [self._wrapped(number) for number in from_bytes(part)]

    def spread(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        return spread(work, tasks, self.workers)

    def encrypt_all(self, values: Sequence[int]) -> list[int]:
        return [self.encrypt(value) for value in values]  # no work that another process could take

    def decrypt_all(self, ciphertexts: Sequence[int]) -> list[int]:
        return list(ciphertexts)

    def _wrapped(self, number: int) -> int:
        if -self._half <= number < self._half:
            return number
        return (number + self._half) % self.modulus - self._half
