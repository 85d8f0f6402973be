"""Clients drawn by their sizes, as in the authors' code of q-FedAvg (github.com/litian96/fair_flearn)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.samplers import Probe, Sampler


class BySize(Sampler):
    """`clients_per_round` different clients, each drawn with probability n_k / n of those that are left."""

    def __init__(self, clients_per_round: int):
        self.clients_per_round = clients_per_round

    def setup(self, sizes: np.ndarray) -> None:
        self.p = sizes / sizes.sum()  # (N,)

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        return rng.choice(clients, self.clients_per_round, replace=False, p=self.p).tolist()

    def expected(self, clients: int) -> float:
        return float(self.clients_per_round)
