"""Label skew together with unequal sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.label_skew import spread_classes
from fedlit.partitions.size_law import Law, weights_by_law


@dataclass(frozen=True)
class DirichletQuantity(Partition):
    """The samples of class c go to the clients in proportions p_ck w_k, with p_c ~ Dirichlet(alpha, ..., alpha).

    The weights w_k follow a law of sizes (see `Quantity`). Large clients are as skewed in their labels as small ones.
    Sizes follow the law on average; a smaller alpha scatters them more.
    """

    alpha: float = 0.5  # concentration, above 0; see Dirichlet
    law: Law = "lognormal"
    skew: float = 1.0  # skew of the sizes; see Quantity
    min_size: int = 10  # least number of samples of a client
    draws: int = 10  # largest number of draws

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        weights = weights_by_law(self.law, self.skew, clients, rng)
        return spread_classes(data, clients, rng, self.alpha, self.min_size, self.draws, weights)
