"""Clients of unequal size, alike in everything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.least_size import check_least_size
from fedlit.partitions.sharing import hand_out
from fedlit.partitions.size_law import Law, sizes_by_weight, weights_by_law


@dataclass(frozen=True)
class Quantity(Partition):
    """Sizes follow a log-normal law or a power law (Li et al. 2020, arXiv:1812.06127); samples are drawn at random."""

    law: Law = "lognormal"
    skew: float = 1.0  # lognormal: standard deviation of a size's logarithm; power: exponent over the rank. 0 is equal
    min_size: int = 10  # least number of samples a client gets

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        check_least_size(data.size, clients, self.min_size)
        weights = weights_by_law(self.law, self.skew, clients, rng)
        return hand_out(sizes_by_weight(data.size, weights, self.min_size, rng), rng)
