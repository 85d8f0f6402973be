"""Label skew by Dirichlet draws (Hsu, Qi, Brown 2019, arXiv:1909.06335; Yurochkin et al. 2019, arXiv:1905.12022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.label_skew import spread_classes


@dataclass(frozen=True)
class Dirichlet(Partition):
    """Each class is spread over the clients in proportions drawn from Dirichlet(alpha, ..., alpha).

    A small alpha gives a class to few clients, a large one shares it evenly. Sizes follow from the draws; where a
    client is short of `min_size` after `draws` draws, random samples of the largest shards go to it.
    """

    alpha: float = 0.5  # concentration, positive
    min_size: int = 10  # least number of samples a client gets
    draws: int = 10  # most draws before the repair

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return spread_classes(data, clients, rng, self.alpha, self.min_size, self.draws)
