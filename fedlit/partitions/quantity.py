"""Clients of unequal size and equal distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.least_size import check_least_size
from fedlit.partitions.sharing import hand_out
from fedlit.partitions.size_law import Law, sizes_by_weight, weights_by_law


@dataclass(frozen=True)
class Quantity(Partition):
    """Sizes n_k follow a law; samples are drawn at random. Log-normal sizes are of Li et al. 2020 (arXiv:1812.06127).

    `lognormal`: n_k proportional to exp(skew z_k), z_k ~ N(0, 1). `power`: n_k proportional to r_k^-skew for the
    client's rank r_k.
    """

    law: Law = "lognormal"
    skew: float = 1.0  # 0 gives equal sizes
    min_size: int = 10  # least number of samples of a client

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        check_least_size(data.size, clients, self.min_size)
        weights = weights_by_law(self.law, self.skew, clients, rng)
        return hand_out(sizes_by_weight(data.size, weights, self.min_size, rng), rng)
