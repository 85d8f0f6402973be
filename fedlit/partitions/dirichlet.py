"""Label skew by Dirichlet draws (Hsu, Qi, Brown 2019, arXiv:1909.06335; Yurochkin et al. 2019, arXiv:1905.12022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.label_skew import spread_classes


@dataclass(frozen=True)
class Dirichlet(Partition):
    """The samples of class c go to the clients in proportions p_c ~ Dirichlet(alpha, ..., alpha).

    A small alpha gives a class to few clients, a large alpha divides it evenly. The proportions are drawn again, at
    most `draws` times, until every client has `min_size` samples. After that, random samples move from the largest
    shards to clients with too few.
    """

    alpha: float = 0.5  # concentration, above 0
    min_size: int = 10  # least number of samples of a client
    draws: int = 10  # largest number of draws

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return spread_classes(data, clients, rng, self.alpha, self.min_size, self.draws)
