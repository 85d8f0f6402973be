"""The contract of a sampler: which clients a round asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

Probe = Callable[[Sequence[int]], np.ndarray]
"""From K clients to the losses (K,) of the models they would receive, on their training data."""


class Sampler(ABC):
    """Chooses the clients of a round. Attributes of `self` are hyperparameters only.

    >>> class EveryOther(Sampler):
    ...     def __call__(self, round_number, rng, clients, probe):
    ...         return range(round_number % 2, clients, 2)
    ...
    ...     def expected(self, clients):
    ...         return clients / 2
    >>> list(EveryOther()(1, np.random.default_rng(0), clients=5, probe=lambda clients: np.zeros(len(clients))))
    [1, 3]
    """

    @abstractmethod
    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        """The clients to ask, in any order; may be empty.

        Args:
            round_number: from 1.
            rng: depends on seed and round alone, so that every algorithm gets the same cohorts.
            clients: number of clients; they are numbered 0 to clients - 1.
            probe: measures losses of clients, for samplers that choose by loss.
        """

    @abstractmethod
    def expected(self, clients: int) -> float:
        """The expected number of clients in a round."""
