"""Equal shards drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.sharing import equal, hand_out


@dataclass(frozen=True)
class Iid(Partition):
    """The samples are divided at random; sizes differ by at most one."""

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return hand_out(equal(data.size, clients), rng)
