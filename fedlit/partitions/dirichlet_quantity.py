"""Label skew and unequal sizes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.label_skew import spread_classes
from fedlit.partitions.size_law import Law, weights_by_law


@dataclass(frozen=True)
class DirichletQuantity(Partition):
    """Each class is spread by a Dirichlet draw whose proportions are multiplied with the clients' sizes under a law.

    Large clients are as skewed in their labels as small ones. Sizes follow the law on average and scatter about it with
    the draws, the more the smaller alpha is.
    """

    alpha: float = 0.5  # concentration, positive; see Dirichlet
    law: Law = "lognormal"
    skew: float = 1.0  # of the sizes; see Quantity
    min_size: int = 10  # least number of samples a client gets
    draws: int = 10  # most draws before the repair

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        weights = weights_by_law(self.law, self.skew, clients, rng)
        return spread_classes(data, clients, rng, self.alpha, self.min_size, self.draws, weights)
