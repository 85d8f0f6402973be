"""CKKS, a cipher of vectors of real numbers (Cheon, Kim, Kim, Song 2017, "Homomorphic Encryption for Arithmetic of
Approximate Numbers"), by TenSEAL, which is imported where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlit.messages.secure.installed import check_installed
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.ciphers.blocks import filled, unfilled
from fedlit.vertical.party import Message, Part, Sealed

DEGREE, MODULI, SCALE = 8192, [60, 40, 60], 2.0**40
SLOTS = DEGREE // 2
BLOCK = 4096  # bytes: texts of TenSEAL are some bytes longer or shorter


@dataclass(frozen=True)
class Ckks(Cipher):
    """Sums of vectors, and a product with a known vector, with relative errors of about a millionth; for the linear
    protocols. Degree 8192 and 160 bits of moduli, below the 218 bits that the homomorphic encryption standard (2018)
    allows for 128 bits of security. A ciphertext has 4,096 numbers in 240 kB.

    **The party that opens sums can be attacked by their receivers.** A decryption has an error that depends on the
    private key, and a party that gets both the numbers and what it expects of them may compute the key from their
    difference (Li and Micciancio 2021, "On the Security of Homomorphic Encryption on Approximate Numbers"). Parties
    that follow the protocol do not; against others use `paillier`, which is exact.
    """

    name: ClassVar[str] = "ckks"

    def check(self) -> None:
        check_installed("cipher=ckks", "tenseal", "he")

    def generate(self) -> CkksOwner:
        import tenseal

        context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI)
        context.global_scale = SCALE
        return CkksOwner(context)

    def public(self, message: Message) -> CkksKey:
        import tenseal

        part = message["key"]
        assert isinstance(part, np.ndarray)
        return CkksKey(tenseal.context_from(unfilled(part.tobytes())))


class CkksKey:
    """Encrypts, and computes with ciphertexts. A vector of N numbers is a list of ceil(N / 4096) ciphertexts; the
    numbers in the rest of the last one are 0.

    Args:
        context: of TenSEAL, with or without the private key.
    """

    def __init__(self, context: Any):
        self.context = context

    def message(self) -> Message:
        """The key, as a part of a message in the clear."""
        text = self.context.serialize(
            save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )
        return {"key": np.frombuffer(filled(text, BLOCK), np.uint8)}

    def encrypt(self, values: np.ndarray) -> list[Any]:
        """Ciphertexts of a vector (N,); others each time."""
        import tenseal

        return [tenseal.ckks_vector(self.context, chunk) for chunk in in_chunks(values)]

    def add(self, first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
        return [text + other for text, other in zip(first, second, strict=True)]

    def times(self, ciphertexts: Sequence[Any], values: np.ndarray) -> list[Any]:
        """The product with a known vector, number by number; once in the life of a ciphertext."""
        return [text * chunk for text, chunk in zip(ciphertexts, in_chunks(values), strict=True)]

    def seal(self, ciphertexts: Sequence[Any], shape: tuple[int, ...] | None = None) -> Sealed:
        blobs = tuple(filled(ciphertext.serialize(), BLOCK) for ciphertext in ciphertexts)
        return Sealed(blobs, (len(blobs),) if shape is None else shape)

    def opened(self, part: Part) -> list[Any]:
        """The ciphertexts in a part that `seal` has made."""
        import tenseal

        assert isinstance(part, Sealed)
        return [tenseal.ckks_vector_from(self.context, unfilled(blob)) for blob in part.blobs]


class CkksOwner(CkksKey):
    """Has the private key."""

    def decrypt(self, ciphertexts: Sequence[Any]) -> np.ndarray:
        """The numbers of each, (len(ciphertexts) * 4096,)."""
        return np.concatenate([np.asarray(ciphertext.decrypt()) for ciphertext in ciphertexts])


def in_chunks(values: np.ndarray) -> np.ndarray:
    """A vector (N,) as rows of 4,096 numbers, filled up with zeros: (ceil(N / 4096), 4096)."""
    padded = np.zeros(-(-len(values) // SLOTS) * SLOTS)
    padded[: len(values)] = values
    return padded.reshape(-1, SLOTS)
