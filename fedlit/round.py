"""What everybody, and what the server, may know of a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.client import Alone
from fedlit.randomness import Key, generator, seed_number


@dataclass
class Round:
    """A round as everybody may know it: small, picklable, the same on every machine.

    `purpose` keeps streams apart, so that evaluating after a round draws nothing that training draws.
    """

    number: int  # from 1
    seed: int
    cohort: list[int]  # clients asked, longest shard first: the order of every sum
    clients: int  # clients there are
    purpose: str = "train"  # or "evaluate", "probe", "server"

    def generator(self, *key: Key) -> np.random.Generator:
        """The keyed stream of this round and purpose."""
        return generator(self.seed, self.purpose, self.number, *key)

    def stream(self, *key: Key) -> int:
        """A 63-bit number for keyed words (`randomness.keyed_words`) of this round and purpose."""
        return seed_number(self.seed, self.purpose, self.number, *key)


@dataclass
class ServerRound(Round):
    """What the server knows besides. Never sent to a client."""

    expected: float = 0.0  # size of the cohort that the sampler means
    down: dict[str, Any] = field(default_factory=dict)  # what was broadcast
    arrived: list[int] = field(default_factory=list)  # clients whose messages were reduced
    server: Alone | None = None  # a client over the server's own data, where there are any

    @property
    def share(self) -> float:
        """Clients that arrived, as a share of all clients there are."""
        return len(self.arrived) / self.clients

    def for_clients(self) -> Round:
        return Round(self.number, self.seed, self.cohort, self.clients, self.purpose)
