"""Ids as points of Curve25519, blinded by secret scalars (X25519, RFC 7748), by the package cryptography."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fedlit.errors import InputError

P, A = 2**255 - 19, 486662  # the curve v^2 = u^3 + A u^2 + u over the numbers modulo P
SIZE = 32  # bytes of a u-coordinate
LABEL = b"fedlit people "


def digest(text: str) -> bytes:
    """The hash that orders people."""
    return hashlib.sha256(LABEL + text.encode()).digest()


def hashed_point(text: str) -> bytes:
    """The u-coordinate of a point that depends on the text as a random one: SHA-256 of the text and a counter, until it
    is a u of the curve (each second one is).

    X25519 takes any 32 bytes: those that are no u of the curve are one of its twist. A product with a scalar stays on
    the same of the two, so a hash that may be on either would show a bit of the text through every scalar. RFC 9380
    names this way "try and increment" and standardises Elligator 2 instead, because the number of tries depends on the
    text; nobody but the party that holds the text can measure it here.
    """
    for counter in range(256):
        number = int.from_bytes(hashlib.sha256(LABEL + bytes([counter]) + text.encode()).digest(), "little")
        u = number % 2**255
        if u < P and pow(u * (u * (u + A) + 1), (P - 1) // 2, P) == 1:
            return u.to_bytes(SIZE, "little")
    raise AssertionError("256 hashes in turn are of the twist")


class Blinding:
    """Multiplication by a secret scalar of the operating system's random bits. It commutes: a (b X) = b (a X).

    A scalar of X25519 is a multiple of 8, so every product lies in the subgroup of prime order and shows nothing of
    the seven other cosets. Products with unknown scalars look random to a party that cannot solve the decisional
    Diffie-Hellman problem in that group.
    """

    @cached_property
    def _key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.generate()

    def of_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, 32) uint8: the scalar times the hashed point of each text."""
        return self._times([hashed_point(text) for text in texts])

    def of_points(self, points: np.ndarray) -> np.ndarray:
        """(N, 32) uint8: the scalar times each point.

        Raises:
            InputError: a point has a small order; no party that follows the steps sends it.
        """
        return self._times([row.tobytes() for row in np.ascontiguousarray(points)])

    def _times(self, points: Sequence[bytes]) -> np.ndarray:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        key, load = self._key, X25519PublicKey.from_public_bytes
        try:
            products = b"".join(key.exchange(load(point)) for point in points)
        except ValueError:
            raise InputError(
                "alignment=ecdh: a party has sent a point of small order; this is no blinded id."
            ) from None
        return np.frombuffer(products, np.uint8).reshape(-1, SIZE)
