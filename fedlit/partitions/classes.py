"""A fixed number of classes for each client."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar, Literal

import numpy as np

from fedlit.errors import InputError
from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import equal
from fedlit.partitions.size_law import sizes_by_weight, weights_by_law
from fedlit.plurals import counted


@dataclass(frozen=True)
class Classes(Partition):
    """Each client holds `classes_per_client` classes; the samples of a class are divided among its holders.

    The numbers of holders of two classes differ by at most one. If a class has fewer samples than holders, some holders
    get none of it.

    `equal`: the parts of a class differ by at most one sample. `power`: the parts of a class are proportional to
    r_k^-skew of its holders, and one sample at least; r_k is the client's rank, drawn once for all of its classes.
    McMahan's skew of two digits with sizes by a power law is the MNIST of Li et al. 2020 (FedProx, arXiv:1812.06127).
    """

    classes_per_client: int = 2
    sizes: Literal["equal", "power"] = "equal"
    skew: float = 1.0  # exponent of the power law; 0 gives equal sizes

    by_label: ClassVar[bool] = True

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        assert data.labels is not None
        counts = np.bincount(data.labels)
        occurring = np.flatnonzero(counts)  # classes with samples
        self._check(clients, len(occurring))
        dealt = deal_classes(clients, self.classes_per_client, len(occurring), rng)
        entries = Shards.from_owner(dealt.ravel(), len(occurring))  # entry // classes_per_client is the client
        samples = Shards.from_owner(data.labels, len(counts))
        weights = weights_by_law("power", self.skew, clients, rng) if self.sizes == "power" else None
        owner = np.empty(data.size, np.int64)
        for number, c in enumerate(occurring.tolist()):
            # permuted, because the first holders get one sample more
            holders = rng.permutation(entries[number] // self.classes_per_client)
            size = len(samples[c])
            if weights is None:
                parts = equal(size, len(holders))
            else:
                parts = sizes_by_weight(size, weights[holders], min(1, size // len(holders)), rng)
            owner[rng.permutation(samples[c])] = np.repeat(holders, parts)
        return owner

    def _check(self, clients: int, classes: int) -> None:
        if self.classes_per_client > classes:
            raise InputError(
                f"partition.classes_per_client={self.classes_per_client} is more than the "
                f"{counted(classes, 'class', 'classes')} of the "
                f"training set; write partition.classes_per_client={classes} or less."
            )
        if clients * self.classes_per_client < classes:
            raise InputError(
                f"clients={clients} with partition.classes_per_client={self.classes_per_client} leave some of the "
                f"{counted(classes, 'class', 'classes')} without a client; write "
                f"partition.classes_per_client={-(-classes // clients)} or more."
            )


def deal_classes(clients: int, each: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """The classes of each client, (clients, each) ints without repetition in a row.

    The classes are dealt cyclically in a random order, `each` to a client. After classes / gcd(classes, each) clients,
    when every class was dealt equally often, a new order is drawn. The numbers of holders of two classes then differ by
    at most one.
    """
    block = classes // gcd(classes, each)  # clients that share one order
    blocks = -(-clients // block)
    orders = rng.permuted(np.tile(np.arange(classes), (blocks, 1)), axis=1)
    places = np.arange(block * each).reshape(block, each) % classes
    return orders[:, places].reshape(-1, each)[:clients]
