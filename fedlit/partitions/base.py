"""What a partition is: from the labels of a data set to the client of each sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.data.transform import Transform
from fedlit.errors import InputError
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import largest_remainder


@dataclass(frozen=True)
class Labelled:
    """What a partition sees of a data set: never the inputs."""

    size: int  # samples, N
    labels: np.ndarray | None = None  # (N,) int64 classes; None where the targets are not classes
    classes: int | None = None  # how many classes; None: as many as the labels say
    sites: np.ndarray | None = None  # (N,) int64: the site, writer or subject of each sample


class Partition(ABC):
    """Which client each sample goes to. On `self` there are hyperparameters only.

    A partition of your own needs `owners`; `test` and `transform` have defaults.
    """

    by_label: ClassVar[bool] = False  # needs class labels

    @abstractmethod
    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        """The client of each training sample, (N,) ints from 0 to clients - 1.

        Args:
            data: the training set; at least as many samples as clients, and with labels where `by_label` says so.
            clients: how many clients.
            rng: the only source of random numbers, so that the same seed gives the same shards.
        """

    def train(self, data: Labelled, clients: int, rng: np.random.Generator) -> Shards:
        """The training shards: each sample goes to exactly one client.

        Raises:
            InputError: more clients than samples, or no labels for a partition by label.
        """
        if not data.size:
            raise InputError("the server keeps all training samples and the clients get none; lower server_samples.")
        if clients > data.size:
            raise InputError(
                f"clients={clients} is more than the {data.size} training samples; write clients={data.size} or fewer."
            )
        self.check_labels(data)
        return Shards.from_owner(self.owners(data, clients, rng), clients)

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        """The test set split by the same partition, so that a client is tested on what it trains on.

        Each class of the test set is shared out in proportion to the clients' training counts of that class, by the
        largest remainder, ties at random; a class that nobody trains on, and targets that are no classes, in proportion
        to the clients' sizes. Each test sample goes to exactly one client; where there are few, many clients get none.
        """
        owner = np.empty(test.size, np.int64)
        numbers = np.arange(len(shards))
        for samples, counts in _classes(test, train, shards):
            shares = largest_remainder(len(samples), counts if counts.any() else shards.sizes, rng)
            owner[rng.permutation(samples)] = np.repeat(numbers, shares)
        return Shards.from_owner(owner, len(shards))

    def transform(self, seed: int) -> Transform | None:
        """What this partition does to the inputs, a transform of each batch; most do nothing."""
        return None

    def clients(self, data: Labelled) -> int | None:
        """How many clients the data themselves ask for, where they do."""
        return None

    def check_labels(self, data: Labelled) -> None:
        """Raises InputError where this partition goes by labels and the data have none."""
        if self.by_label and data.labels is None:
            raise InputError(
                f"the partition {type(self).__name__} goes by class labels and the targets of this data set are no "
                "classes; write partition=iid, contiguous, quantity, natural or feature."
            )


def class_count(*sets: Labelled) -> int:
    """How many classes labelled sets have between them."""
    found = [int(s.labels.max()) + 1 for s in sets if s.labels is not None and len(s.labels)]
    return max([s.classes or 0 for s in sets] + found)


def _classes(test: Labelled, train: Labelled, shards: Shards) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each class: its test samples and the clients' training counts (clients,). Class by class, for a table of
    clients and classes would not fit where both are many."""
    if test.labels is None or train.labels is None:
        yield np.arange(test.size), shards.sizes
        return
    classes = class_count(test, train)
    samples = Shards.from_owner(test.labels, classes)
    entries = Shards.from_owner(train.labels[shards.indices], classes)
    owners = shards.owners
    for c in range(classes):
        if len(samples[c]):
            yield samples[c], np.bincount(owners[entries[c]], minlength=len(shards))
