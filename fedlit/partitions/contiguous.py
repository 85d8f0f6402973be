"""Equal consecutive blocks in data order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import equal


@dataclass(frozen=True)
class Contiguous(Partition):
    """Client k holds the k-th block of the training set, and is tested on the k-th block of the test set.

    Sizes differ by at most one. A file that is sorted by label gives clients of few classes.
    """

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return _blocks(data.size, clients)

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        return Shards.from_owner(_blocks(test.size, len(shards)), len(shards))


def _blocks(size: int, clients: int) -> np.ndarray:
    return np.repeat(np.arange(clients), equal(size, clients))
