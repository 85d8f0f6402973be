"""Every client in every round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.samplers.base import Probe, Sampler


class All(Sampler):
    """Full participation: asks every client in every round."""

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        return range(clients)

    def expected(self, clients: int) -> float:
        return float(clients)
