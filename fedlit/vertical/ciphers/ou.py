"""Okamoto's and Uchiyama's cipher (1998, "A New Public-Key Cryptosystem as Secure as Factoring"), by the package
sf-heu, which is imported where it is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.secure.installed import check_installed
from fedlit.vertical.ciphers.base import IntegerCipher, OwnerKey, PublicKey
from fedlit.vertical.ciphers.blocks import filled, unfilled
from fedlit.vertical.ciphers.key_sizes import check_bits, warn_of_bits
from fedlit.vertical.ciphers.workers import check_workers, spread
from fedlit.vertical.party import Message, Part, Sealed

DIGIT = 62  # bits of a factor that sf-heu takes
MORE = 32  # bytes of a text of sf-heu above those of the number, or a few less


@dataclass(frozen=True)
class Ou(IntegerCipher):
    """Sums of whole numbers, as `paillier` but quicker: n = p^2 q, and numbers are below the secret p. So **a sum
    beyond the bound is lost** instead of wrapping around: masks leave room, and hide by being much longer than the
    number.

    **Parties that follow the protocol are assumed.** A party that encrypts a number above p and gets its decryption can
    factor n: the two differ by a multiple of p. So it matters in protocols in which the owner of the key opens
    ciphertexts of others and sends them the numbers, as that of linear models.

    Args:
        bits: of n; a third of them hold numbers.
        workers: processes that share the arithmetic of one party.
    """

    name: ClassVar[str] = "ou"

    bits: int = 2048
    workers: int = 1

    def check(self) -> None:
        if sys.version_info >= (3, 12) and find_spec("heu") is None:
            raise InputError(
                f"cipher=ou needs the package sf-heu, which has no release for Python {sys.version_info[0]}."
                f"{sys.version_info[1]}; write cipher=paillier, or use Python 3.11 or 3.10."
            )
        check_installed("cipher=ou", "heu", "ou", "sf-heu")
        check_workers(self.workers)
        check_bits(self.bits, insecure=False)
        warn_of_bits(self.name, self.bits)

    def generate(self) -> OuOwner:
        from heu import phe

        check_bits(self.bits, insecure=False)
        return OuOwner(phe.setup(phe.SchemaType.OU, self.bits), self.bits, self.workers)

    def public(self, message: Message) -> OuKey:
        from heu import phe

        part = message["key"]
        assert isinstance(part, np.ndarray)
        kit = phe.setup(phe.PublicKey.load_from(unfilled(part.tobytes())))
        return OuKey(kit, self.bits, self.workers)


class OuKey(PublicKey):
    """
    Args:
        kit: sf-heu's tools around a key.
        bits: of n.
    """

    wraps: ClassVar[bool] = False

    def __init__(self, kit: Any, bits: int, workers: int = 1):
        self.kit, self.bits, self.workers = kit, bits, workers
        self.modulus = 2 * int(str(kit.public_key().plaintext_bound()))

    @cached_property
    def _encrypt(self) -> Callable[[int], Any]:
        encrypt: Callable[[int], Any] = self.kit.encryptor().encrypt_raw
        return encrypt

    @cached_property
    def _evaluator(self) -> Any:
        return self.kit.evaluator()

    def message(self) -> Message:
        text = filled(self.kit.public_key().serialize(), 1024)
        return {"key": np.frombuffer(text, np.uint8)}

    def encrypt(self, value: int) -> Any:
        return self._encrypt(int(value))

    def add(self, first: Any, second: Any) -> Any:
        return self._evaluator.add(first, second)

    def subtract(self, first: Any, second: Any) -> Any:
        return self._evaluator.sub(first, second)

    def times(self, ciphertext: Any, factor: int) -> Any:
        high, low = divmod(abs(int(factor)), 1 << DIGIT)
        product = self._evaluator.mul(ciphertext, low)
        if high:
            shifted = self._evaluator.mul(self.times(ciphertext, high), 1 << DIGIT)
            product = self.add(shifted, product)
        return product if factor >= 0 else self._evaluator.negate(product)

    def refresh(self, ciphertext: Any) -> Any:
        return self.add(ciphertext, self.encrypt(0))

    def zero(self) -> Any:
        return self.encrypt(0)

    def seal(self, ciphertexts: Iterable[Any], shape: tuple[int, ...] | None = None) -> Sealed:
        blobs = tuple(filled(ciphertext.serialize(), self.bits // 8 + MORE) for ciphertext in ciphertexts)
        return Sealed(blobs, (len(blobs),) if shape is None else shape)

    def opened(self, part: Part) -> list[Any]:
        from heu import phe

        assert isinstance(part, Sealed)
        return [phe.Ciphertext.load_from(unfilled(blob)) for blob in part.blobs]

    def spread(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        return spread(work, tasks, self.workers)


class OuOwner(OuKey, OwnerKey):
    @cached_property
    def _decrypt(self) -> Callable[[Any], int]:
        decrypt: Callable[[Any], int] = self.kit.decryptor().decrypt_raw
        return decrypt

    def decrypt(self, ciphertext: Any) -> int:
        return self._decrypt(ciphertext)
