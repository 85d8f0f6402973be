"""The contract of a cipher of vectors whose ciphertexts can be added without the private key."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class Cipher(ABC):
    """What the server knows: it adds ciphertexts. `KeyHolder` also encrypts and decrypts."""

    @abstractmethod
    def added(self, first: bytes, second: bytes) -> bytes:
        """A ciphertext of the sum of two vectors."""


class KeyHolder(ABC):
    """What every client knows."""

    cipher: Cipher

    @abstractmethod
    def encrypted(self, vector: np.ndarray) -> bytes:
        """A ciphertext of a vector (L,)."""

    @abstractmethod
    def decrypted(self, ciphertext: bytes, size: int) -> np.ndarray:
        """The vector (size,)."""
