"""What clients and server of a masked sum have in common (Bonawitz et al. 2017, figure 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fedlit.messages.secure import shamir
from fedlit.messages.secure.agreement import KEY, TAG, mask, shared_keys
from fedlit.round import Round

BOX = 2 * shamir.SIZE + TAG  # bytes of the shares of two secrets, sealed
MISSING = b"\xff" * shamir.SIZE  # in place of a share that could not be opened; no share is that large


@dataclass(frozen=True)
class Rules:
    """
    Attributes:
        threshold: t as a share of the cohort.
        bits: of a word.
    """

    threshold: float
    bits: int

    def enough(self, round: Round) -> int:
        """t, the number of shares that give a secret back, and of clients that have to answer in each trip."""
        return max(2, math.ceil(self.threshold * len(round.cohort)))

    def words(self, sent: Tensor) -> np.ndarray:
        """A tensor that travels, as unsigned words."""
        return sent.cpu().numpy().view(f"uint{self.bits}")


def common_keys(me: int, private: bytes, public: Mapping[int, bytes], purpose: str) -> dict[int, bytes]:
    """The key (KEY bytes) that client `me` has in common with each other one.

    Args:
        public: client -> its public key.
    """
    others = {other: key for other, key in public.items() if other != me}
    return dict(zip(others, shared_keys(private, others.values(), f"fedlit {purpose}"), strict=True))


def add_masks(words: np.ndarray, keys: Mapping[int, bytes], me: int) -> None:
    """Add in place what client `me` adds for the others: PRG(s) for those after it, -PRG(s) for those before it."""
    for other, key in keys.items():
        change = np.add if me < other else np.subtract
        change(words, mask(key, len(words), words.dtype), out=words)


def for_boxes(keys: bytes) -> bytes:
    """Of the two keys that a client has, private or public, the one for boxes of shares."""
    return keys[:KEY]


def for_masks(keys: bytes) -> bytes:
    """The one for masks."""
    return keys[KEY:]


def point(client: int) -> int:
    """Where a client's shares are; the secret is at 0."""
    return client + 1


def points(clients: Iterable[int]) -> list[int]:
    return [point(client) for client in clients]


def nonce(sender: int, receiver: int) -> bytes:
    """Of the two boxes that travel under one key, one in each direction."""
    return sender.to_bytes(6, "big") + receiver.to_bytes(6, "big")


def facts(round: Round, sender: int, receiver: int) -> bytes:
    return f"round {round.number}, from {sender} to {receiver}".encode()
