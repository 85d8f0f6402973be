"""The contract of a partition: from the labels of a data set to the client of each sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.data.transform import Transform
from fedlit.errors import InputError
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import hand_out, largest_remainder, proportional
from fedlit.plurals import counted


@dataclass(frozen=True)
class Labelled:
    """The part of a data set that a partition sees: its size, labels and sites, never the inputs."""

    size: int  # N, the number of samples
    labels: np.ndarray | None = None  # (N,) int64 classes, below 0: no class; None: the targets are not classes
    classes: int | None = None  # number of classes; None: the largest label plus one
    sites: np.ndarray | None = None  # (N,) int64: the site, writer or subject of each sample

    def part(self, chosen: np.ndarray) -> Labelled:
        """The samples of an index array or of a mask."""
        labels = None if self.labels is None else self.labels[chosen]
        sites = None if self.sites is None else self.sites[chosen]
        size = int(chosen.sum()) if chosen.dtype == bool else len(chosen)
        return Labelled(size, labels, self.classes, sites)


class Partition(ABC):
    """Assigns each sample to a client. Attributes of `self` are hyperparameters only.

    A subclass needs `owners`; the other methods have defaults.

    >>> from fedlit.randomness import generator
    >>> class RoundRobin(Partition):
    ...     def owners(self, data, clients, rng):
    ...         return np.arange(data.size) % clients
    >>> shards = RoundRobin().train(Labelled(5), clients=2, rng=generator(0))
    >>> shards[0], shards[1]
    (array([0, 2, 4]), array([1, 3]))
    """

    by_label: ClassVar[bool] = False  # True: class labels are required

    @abstractmethod
    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        """The client of each training sample, (N,) ints from 0 to clients - 1.

        Args:
            data: the training set. It has at least as many samples as clients; if `by_label`, each has a class.
            clients: number of clients.
            rng: the only source of random numbers, so that one seed always gives the same shards.
        """

    def train(self, data: Labelled, clients: int, rng: np.random.Generator) -> Shards:
        """The training shards; each sample goes to exactly one client.

        Samples without a class, whose label is below 0, count in no partition by label: they are divided in proportion
        to the clients' other samples.

        Raises:
            InputError: there are more clients than samples, or no labels for a partition by label.
        """
        if not data.size:
            raise InputError("the server keeps all training samples and the clients get none; lower server_samples.")
        if clients > data.size:
            raise InputError(
                f"clients={clients} is more than the {counted(data.size, 'training sample')}; "
                f"write clients={data.size} or fewer."
            )
        self.check_labels(data)
        if not self.by_label or data.labels is None or data.labels.min() >= 0:
            return Shards.from_owner(self.owners(data, clients, rng), clients)
        has_class = data.labels >= 0
        owner = np.empty(data.size, np.int64)
        owner[has_class] = self.owners(data.part(has_class), clients, rng)
        sizes = proportional(int((~has_class).sum()), np.bincount(owner[has_class], minlength=clients), rng)
        owner[~has_class] = hand_out(sizes, rng)
        return Shards.from_owner(owner, clients)

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        """The test shards; each test sample goes to exactly one client.

        The test samples of class c are divided in proportion to the clients' training counts of c, by the largest
        remainder with ties at random. A class that no client trains on is divided in proportion to the clients' sizes,
        and so are samples without a class and targets that are not classes. With few test samples, many clients get
        none.

        Args:
            test: the test set.
            train: the training set.
            shards: the training shards that `train` returned.
            rng: the only source of random numbers.
        """
        owner = np.empty(test.size, np.int64)
        numbers = np.arange(len(shards))
        for samples, counts in _classes(test, train, shards):
            shares = largest_remainder(len(samples), counts if counts.any() else shards.sizes, rng)
            owner[rng.permutation(samples)] = np.repeat(numbers, shares)
        return Shards.from_owner(owner, len(shards))

    def transform(self, seed: int) -> Transform | None:
        """A transform of each batch, for partitions that change inputs; None for the others."""
        return None

    def clients(self, data: Labelled) -> int | None:
        """The number of clients that the data define, or None."""
        return None

    def check_labels(self, data: Labelled) -> None:
        """Raise InputError if this partition needs labels and the data have none."""
        if self.by_label and (data.labels is None or not (data.labels >= 0).any()):
            raise InputError(
                f"the partition {type(self).__name__} needs class labels, but the targets of this data set are not "
                "classes; write partition=iid, contiguous, quantity, natural or feature."
            )


def class_count(*sets: Labelled) -> int:
    """The number of classes in labelled sets together."""
    by_labels = [max(int(s.labels.max()) + 1, 0) for s in sets if s.labels is not None and len(s.labels)]
    return max([s.classes or 0 for s in sets] + by_labels)


def _classes(test: Labelled, train: Labelled, shards: Shards) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each class, its test samples and the clients' training counts (clients,).

    A generator, because a table (clients, classes) may not fit into memory.
    """
    if test.labels is None or train.labels is None:
        yield np.arange(test.size), shards.sizes
        return
    classes = class_count(test, train)
    samples = Shards.from_owner(np.maximum(test.labels, -1), classes)
    entries = Shards.from_owner(np.maximum(train.labels[shards.indices], -1), classes)
    owners = shards.owners
    without_class = np.flatnonzero(test.labels < 0)
    if len(without_class):
        yield without_class, shards.sizes
    for c in range(classes):
        if len(samples[c]):
            yield samples[c], np.bincount(owners[entries[c]], minlength=len(shards))
