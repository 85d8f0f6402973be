"""Paillier's cipher for parties, by `fedlit.messages.secure.paillier`, whose docstrings have the formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fedlit.messages.secure import paillier
from fedlit.messages.secure.installed import check_installed
from fedlit.vertical.ciphers.base import IntegerCipher, OwnerKey, PublicKey
from fedlit.vertical.ciphers.key_sizes import check_bits, warn_of_bits
from fedlit.vertical.ciphers.numbers import as_bytes, from_bytes
from fedlit.vertical.ciphers.workers import check_workers, spread
from fedlit.vertical.party import Message, Part, Sealed


@dataclass(frozen=True)
class Paillier(IntegerCipher):
    """Sums of whole numbers modulo n, exactly. At 2,048 bits a ciphertext has 512 bytes, and its key's owner makes it
    in half a millisecond.

    Args:
        bits: of n.
        workers: processes that share the arithmetic of one party.
        insecure: keys below 1,024 bits are allowed, for tests: anybody can factor them.
    """

    name: ClassVar[str] = "paillier"

    bits: int = paillier.BITS
    workers: int = 1
    insecure: bool = False

    def check(self) -> None:
        check_installed("cipher=paillier", "gmpy2", "he")
        check_workers(self.workers)
        check_bits(self.bits, self.insecure)
        warn_of_bits(self.name, self.bits)

    def generate(self) -> PaillierOwner:
        check_bits(self.bits, self.insecure)
        return PaillierOwner(paillier.PrivateKey.generate(self.bits), self.workers)

    def public(self, message: Message) -> PaillierKey:
        import gmpy2

        n, high, low = (gmpy2.mpz(number) for number in from_bytes(message["key"]))
        check_bits(n.bit_length(), self.insecure)
        return PaillierKey(paillier.PublicKey(n, high << 8 * _width(n) | low), self.workers)


class PaillierKey(PublicKey):
    """Args:
    key: n and h_s.
    workers: processes that share the work of a call.
    """

    def __init__(self, key: paillier.PublicKey, workers: int = 1):
        self.key, self.workers = key, workers
        self.modulus = int(key.n)

    def message(self) -> Message:
        """(3, width) uint8: n, and the higher and the lower bytes of h_s."""
        high, low = divmod(int(self.key.h_s), 1 << 8 * _width(self.key.n))
        return {"key": as_bytes([self.key.n, high, low], _width(self.key.n))}

    def encrypt(self, value: int) -> Any:
        return self.key.encrypt(int(value))

    def add(self, first: Any, second: Any) -> Any:
        return self.key.add(first, second)

    def subtract(self, first: Any, second: Any) -> Any:
        return first * pow(second, -1, self.key.square) % self.key.square

    def times(self, ciphertext: Any, factor: int) -> Any:
        return self.key.times(ciphertext, int(factor))

    def refresh(self, ciphertext: Any) -> Any:
        return self.key.refresh(ciphertext)

    def zero(self) -> Any:
        return self.key.n**0

    def seal(self, ciphertexts: Iterable[Any], shape: tuple[int, ...] | None = None) -> Sealed:
        blobs = tuple(int(ciphertext).to_bytes(self.key.size, "big") for ciphertext in ciphertexts)
        return Sealed(blobs, (len(blobs),) if shape is None else shape)

    def opened(self, part: Part) -> list[Any]:
        import gmpy2

        assert isinstance(part, Sealed)
        return [gmpy2.mpz(int.from_bytes(blob, "big")) for blob in part.blobs]

    def spread(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        self.make_tables()
        return spread(work, tasks, self.workers)

    def make_tables(self) -> None:
        """Before workers are forked: each would make its tables again."""
        self.key.noise()


class PaillierOwner(PaillierKey, OwnerKey):
    """Args:
    private: the primes, and the public key.
    """

    def __init__(self, private: paillier.PrivateKey, workers: int = 1):
        super().__init__(private.public, workers)
        self.private = private

    def encrypt(self, value: int) -> Any:
        return self.private.encrypt(int(value))

    def refresh(self, ciphertext: Any) -> Any:
        return ciphertext * self.private.noise() % self.key.square

    def decrypt(self, ciphertext: Any) -> int:
        return self.private.decrypt(ciphertext)

    def make_tables(self) -> None:
        self.private.noise()


def _width(n: Any) -> int:
    return (n.bit_length() + 7) // 8
