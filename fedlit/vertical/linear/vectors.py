"""What linear protocols compute with encrypted vectors, by any cipher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlit.errors import InputError
from fedlit.vertical.party import Message, Part


class Vectors(ABC):
    """Of a party without the private key. Every part that it makes is encrypted with new randomness."""

    @abstractmethod
    def encrypt(self, values: np.ndarray) -> Part:
        """[[v]] of a vector (N,)."""

    @abstractmethod
    def sum(self, parts: Sequence[Part], values: np.ndarray) -> Part:
        """[[sum of the parts + v]]."""

    @abstractmethod
    def masked_products(self, residuals: Part, columns: np.ndarray) -> tuple[Part, Any]:
        """
        Args:
            residuals: [[d]], (N,).
            columns: X, (N, D).

        Returns:
            [[X' d + R]] of D numbers, and the random R, which stays at this party.
        """

    @abstractmethod
    def unmasked(self, opened: np.ndarray, mask: Any) -> np.ndarray:
        """X' d, (D,), of what the owner of the key has opened of `masked_products`."""

    @abstractmethod
    def encrypt_total(self, number: float) -> Part:
        """[[z]], as `total` takes it."""

    @abstractmethod
    def total(self, scores: Part, factors: np.ndarray, other: Part, number: float) -> Part:
        """[[f' s + z + number]] of [[s]] (N,), f (N,) and [[z]]; the sum is all that can be opened of it."""


class VectorsOwner(ABC):
    """Of the party with the private key."""

    @abstractmethod
    def message(self) -> Message:
        """The public key."""

    @abstractmethod
    def open_masked(self, part: Part) -> np.ndarray:
        """X' d + R of `Vectors.masked_products`, as it may travel."""

    @abstractmethod
    def open_total(self, part: Part) -> float:
        """The number in a part of `Vectors.total`."""


def check_range(values: np.ndarray, largest: float) -> None:
    """
    Raises:
        InputError: a number is too large to be encrypted, or is none.
    """
    if not np.abs(values).max(initial=0) < largest:  # NaN is not below
        raise InputError(
            f"scores have reached {np.abs(values).max():.3g}, and numbers below {largest:.3g} can be encrypted; the "
            "weights grow in every round: write a smaller protocol.lr."
        )
