"""A round as every client may know it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.randomness import Key, generator, seed_number


@dataclass
class Round:
    """A round as every process may know it: small, picklable, the same on every machine.

    `purpose` keeps random streams apart: evaluation after a round makes none of the draws that training makes.
    """

    number: int  # from 1
    seed: int
    cohort: list[int]  # clients asked, longest shard first: the order of every sum
    clients: int  # number of clients in the federation
    purpose: str = "train"  # or "evaluate", "probe", "server"
    lr_factor: float = 1.0  # of the clients' learning rates in this round

    def generator(self, *key: Key) -> np.random.Generator:
        """The keyed stream of this round and purpose."""
        return generator(self.seed, self.purpose, self.number, *key)

    def stream(self, *key: Key) -> int:
        """A 63-bit number for keyed words (`randomness.keyed_words`) of this round and purpose."""
        return seed_number(self.seed, self.purpose, self.number, *key)

    def lasting_stream(self, *key: Key) -> int:
        """As `stream`, the same in all rounds."""
        return seed_number(self.seed, self.purpose, "all rounds", *key)
