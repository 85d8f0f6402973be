"""Poisson sampling, which privacy accounting assumes: each client takes part independently."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.samplers.base import Probe, Sampler


class Poisson(Sampler):
    """Asks each client independently with probability `participation`. A round may ask no client: the server then steps
    along zeros (see `Aggregator.server_update`)."""

    def __init__(self, participation: float = 1.0):
        """
        Args:
            participation: probability of each client, above 0 and at most 1.
        """
        self.participation = participation

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        # Binomial size, then a uniform subset: the same distribution as independent draws, at the cost of the cohort.
        return rng.choice(clients, rng.binomial(clients, self.participation), replace=False).tolist()

    def expected(self, clients: int) -> float:
        return self.participation * clients
