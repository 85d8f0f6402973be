"""Label skew by sorted shards (McMahan et al. 2017, arXiv:1602.05629, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.sharing import equal
from fedlit.plurals import counted


@dataclass(frozen=True)
class SortedShards(Partition):
    """The samples, sorted by label, are cut into clients * shards_per_client equal pieces, which are dealt at random.

    Samples of one class keep their order in the data. With two pieces, most clients hold two classes.
    """

    shards_per_client: int = 2

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        assert data.labels is not None
        pieces = clients * self.shards_per_client
        if pieces > data.size:
            raise InputError(
                f"clients={clients} with partition.shards_per_client={self.shards_per_client} needs "
                f"{counted(pieces, 'piece')} of {counted(data.size, 'training sample')}; write "
                f"partition.shards_per_client={data.size // clients} or less."
            )
        dealt = rng.permutation(np.repeat(np.arange(clients), self.shards_per_client))  # the client of each piece
        owner = np.empty(data.size, np.int64)
        owner[np.argsort(data.labels, kind="stable")] = np.repeat(dealt, equal(data.size, pieces))
        return owner
