"""A fixed number of classes for each client."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import equal


@dataclass(frozen=True)
class Classes(Partition):
    """Each client holds `classes_per_client` classes; the samples of a class are shared equally among its holders.

    Every class has holders, as many as any other or one more. A class with fewer samples than holders leaves some of
    these without it.
    """

    classes_per_client: int = 2

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        assert data.labels is not None
        counts = np.bincount(data.labels)
        there = np.flatnonzero(counts)  # classes that occur
        self._check(clients, len(there))
        held = deal_classes(clients, self.classes_per_client, len(there), rng)
        holders = Shards.from_owner(held.ravel(), len(there))  # entries client * classes_per_client + ...
        samples = Shards.from_owner(data.labels, len(counts))
        owner = np.empty(data.size, np.int64)
        for number, c in enumerate(there.tolist()):
            its = rng.permutation(holders[number] // self.classes_per_client)  # who gets one more is drawn
            owner[rng.permutation(samples[c])] = np.repeat(its, equal(len(samples[c]), len(its)))
        return owner

    def _check(self, clients: int, classes: int) -> None:
        if self.classes_per_client > classes:
            raise InputError(
                f"partition.classes_per_client={self.classes_per_client} is more than the {classes} classes of the "
                f"training set; write partition.classes_per_client={classes} or less."
            )
        if clients * self.classes_per_client < classes:
            raise InputError(
                f"clients={clients} with partition.classes_per_client={self.classes_per_client} leave some of the "
                f"{classes} classes to nobody; write partition.classes_per_client={-(-classes // clients)} or more."
            )


def deal_classes(clients: int, each: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Which classes each client holds, (clients, each) ints, different ones within a row.

    The classes in a random order are dealt round and round, `each` in a row to a client, until the round is complete;
    the next clients get a new order. So holders of two classes differ by one at most.
    """
    block = classes // gcd(classes, each)  # clients after which every class was dealt equally often
    blocks = -(-clients // block)
    orders = rng.permuted(np.tile(np.arange(classes), (blocks, 1)), axis=1)
    places = np.arange(block * each).reshape(block, each) % classes
    return orders[:, places].reshape(-1, each)[:clients]
