"""CKKS, a cipher of real numbers (Cheon, Kim, Kim, Song 2017, "Homomorphic Encryption for Arithmetic of Approximate
Numbers"), by TenSEAL, which is imported where it is used."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from fedlit.messages.secure.ciphers import Cipher, KeyHolder

DEGREE, MODULI, SCALE = 4096, [54, 54], 2.0**40
SLOTS = DEGREE // 2
BLOCK = 1024  # bytes
LARGEST = 2.0**13 - 1  # a sum of 2^13 leaves the first modulus, a prime below 2^54 = 2 * 2^13 * 2^40
NOISE = 6e-10  # standard deviation of the error of a ciphertext; that of a sum of n is sqrt(n) times as large


class CkksCipher(Cipher):
    """CKKS (Cheon et al. 2017) by TenSEAL, with degree 4096, moduli of 54 and 54 bits and the scale 2^40.

    Args:
        context: without the private key.
    """

    def __init__(self, context: bytes):
        self.context = context

    def added(self, first: bytes, second: bytes) -> bytes:
        context = _context(self.context)
        pairs = zip(_texts(first), _texts(second), strict=True)
        return _joined([(_ckks(context, text) + _ckks(context, other)).serialize() for text, other in pairs])


class CkksKeyHolder(KeyHolder):
    """Args:
    context: with the private key.
    """

    def __init__(self, context: bytes):
        self.context = context
        self.cipher = CkksCipher(_context(context).serialize(save_secret_key=False))

    @classmethod
    def generate(cls) -> CkksKeyHolder:
        import tenseal

        context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI)
        context.global_scale = SCALE
        return cls(context.serialize(save_secret_key=True))

    def encrypted(self, vector: np.ndarray) -> bytes:
        import tenseal

        context = _context(self.context)
        parts = np.split(vector, range(SLOTS, len(vector), SLOTS))
        return _joined([tenseal.ckks_vector(context, part).serialize() for part in parts])

    def decrypted(self, ciphertext: bytes, size: int) -> np.ndarray:
        context = _context(self.context)
        parts = [_ckks(context, text).decrypt() for text in _texts(ciphertext)]
        return np.concatenate([np.asarray(part) for part in parts])[:size]


def _context(text: bytes) -> Any:
    import tenseal

    return tenseal.context_from(text)


def _ckks(context: Any, text: bytes) -> Any:
    import tenseal

    return tenseal.ckks_vector_from(context, text)


def _joined(texts: list[bytes]) -> bytes:
    """Each text after its length in four bytes, filled up to whole blocks: TenSEAL packs ciphertexts a few bytes longer
    or shorter, and the number of bytes that travel should not depend on the noise."""
    parts = [struct.pack(">I", len(text)) + text for text in texts]
    return b"".join(part + bytes(-len(part) % BLOCK) for part in parts)


def _texts(joined: bytes) -> list[bytes]:
    texts, at = [], 0
    while at < len(joined):
        (size,) = struct.unpack_from(">I", joined, at)
        texts.append(joined[at + 4 : at + 4 + size])
        at += -(-(4 + size) // BLOCK) * BLOCK
    return texts
