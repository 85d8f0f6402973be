"""Each client by a coin of its own: the sampling that differential privacy's accounting assumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.samplers.base import Probe, Sampler


class Poisson(Sampler):
    """A cohort of varying size, sometimes empty: then the server keeps its state for the round."""

    def __init__(self, participation: float = 1.0):
        """
        Args:
            participation: each client's chance to be asked, above 0 and at most 1.
        """
        self.participation = participation

    def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        # the number first, then who: the same law as a coin a client, and the cost is the cohort's
        return rng.choice(clients, rng.binomial(clients, self.participation), replace=False).tolist()

    def expected(self, clients: int) -> float:
        return self.participation * clients
