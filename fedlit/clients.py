"""The clients of a federation: which samples are whose. No object for a client that is not in the cohort."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from fedlit.data import DataSource
from fedlit.evaluation import Evaluation
from fedlit.partitions import Labelled, Partition, Shards
from fedlit.randomness import generator
from fedlit.round import Round
from fedlit.server_round import ServerClient, ServerRound
from fedlit.training import Job, Worker


@dataclass
class Clients:
    train: Shards  # of the training set, a shard a client that trains
    validation: Shards  # of the training set, a part for each client there is
    test: Shards  # of the local tests, a part for each client there is
    batch_size: int
    local_epochs: int
    server_samples: np.ndarray  # the server's own, in the training set

    def __len__(self) -> int:
        return len(self.train)

    @property
    def pooled(self) -> bool:
        """One client trains on all shards: the others are there to be measured on."""
        return len(self.train) != len(self.test)

    def longest_first(self, asked: Iterable[int]) -> list[int]:
        """A cohort in the order of every sum."""
        numbers = np.fromiter((int(c) for c in asked), dtype=np.int64)
        sizes = self.train.offsets[numbers + 1] - self.train.offsets[numbers]  # of these alone
        return numbers[np.lexsort((numbers, -sizes))].tolist()

    def jobs(self, round: ServerRound | Round) -> list[Job]:
        """What the clients of a round's cohort need."""
        small = round.for_clients() if isinstance(round, ServerRound) else round
        nothing, pooled = np.empty(0, dtype=np.int64), self.pooled

        def job(client: int) -> Job:
            parts = (nothing, nothing) if pooled else (self.validation[client], self.test[client])
            return Job(client, small, self.batch_size, self.local_epochs, self.train[client], *parts)

        return [job(c) for c in round.cohort]

    def server_client(self, round: ServerRound, worker: Worker, counters: dict[str, Tensor]) -> ServerClient | None:
        """A client over the server's own data, where there are any."""
        if not len(self.server_samples):
            return None
        alone = replace(round.for_clients(), purpose="server", cohort=[-1])
        job = Job(-1, alone, self.batch_size, self.local_epochs, self.server_samples)
        return ServerClient(worker.client([job], counters, [{}]))


def share_out(
    data: DataSource,
    partition: Partition,
    clients: int,
    seed: int,
    evaluation: Evaluation,
    batch_size: int,
    local_epochs: int,
    server_samples: int = 0,
    pooled: bool = False,
) -> Clients:
    """Cut a data set into clients, each with its training, validation and test part."""
    labelled = Labelled(len(data.train), data.train.labels(), data.classes, data.train_sites)
    own = np.sort(generator(seed, "server data").permutation(labelled.size)[:server_samples])
    rest = np.setdiff1d(np.arange(labelled.size), own) if len(own) else None
    seen = labelled if rest is None else _subset(labelled, rest)
    shards = partition.train(seen, clients, generator(seed, "partition"))
    if evaluation.client_test == "same_partition":
        test_labels = Labelled(len(data.test), data.test.labels(), data.classes, data.test_sites)
        test = partition.test(test_labels, seen, shards, generator(seed, "test partition"))
    if rest is not None:
        shards = Shards(rest[shards.indices], shards.offsets)
    if evaluation.client_test != "same_partition":
        test, shards = _cut(shards, float(evaluation.client_test), generator(seed, "local test"))
    validation, shards = _cut(shards, evaluation.client_validation, generator(seed, "local validation"))
    if pooled:
        shards = Shards(np.sort(shards.indices), np.array([0, len(shards.indices)]))
    return Clients(shards, validation, test, batch_size, local_epochs, own)


def _subset(data: Labelled, at: np.ndarray) -> Labelled:
    return Labelled(
        len(at),
        None if data.labels is None else data.labels[at],
        data.classes,
        None if data.sites is None else data.sites[at],
    )


def _cut(shards: Shards, share: float, rng: np.random.Generator) -> tuple[Shards, Shards]:
    """A random share of each shard (rounded, and never all of it), and what is left."""
    sizes = shards.sizes
    if not share:
        return Shards(np.empty(0, np.int64), np.zeros(len(sizes) + 1, np.int64)), shards
    owners = np.repeat(np.arange(len(sizes)), sizes)
    mixed = shards.indices[np.lexsort((rng.random(len(owners)), owners))]
    cut = np.minimum(np.round(share * sizes), np.maximum(sizes - 1, 0)).astype(np.int64)
    first = np.arange(len(owners)) - np.repeat(shards.offsets[:-1], sizes) < np.repeat(cut, sizes)

    def part(keep: np.ndarray, counts: np.ndarray) -> Shards:
        taken, whose = mixed[keep], owners[keep]
        return Shards(taken[np.lexsort((taken, whose))], np.concatenate([[0], np.cumsum(counts)]))

    return part(first, cut), part(~first, sizes - cut)
