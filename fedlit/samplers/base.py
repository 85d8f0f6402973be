"""Who is asked in a round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

Probe = Callable[[Sequence[int]], np.ndarray]
"""Losses (K,) of the clients' received model on their training data, for samplers that choose by them."""


class Sampler(ABC):
    """Keeps nothing but hyperparameters.

    The stream it is given depends on seed and round alone, so every algorithm sees the same cohorts.
    """

    @abstractmethod
    def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        """The clients to ask, in any order; may be empty."""

    @abstractmethod
    def expected(self, clients: int) -> float:
        """How many clients it asks in the mean."""
