"""The clients of a federation and their samples, as flat arrays; only clients of a cohort become objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from fedlit.data import DataSource
from fedlit.errors import InputError
from fedlit.evaluation import Evaluation
from fedlit.partitions import Labelled, Partition, Shards
from fedlit.plurals import counted
from fedlit.randomness import generator
from fedlit.round import Round
from fedlit.server_round import ServerClient, ServerRound
from fedlit.training import Job, Worker


@dataclass
class Clients:
    """The samples of all clients and of the server, and how clients train."""

    train: Shards  # of the training set, one shard for each client that trains
    validation: Shards  # of the training set, one part for each client
    test: Shards  # of the local tests, one part for each client
    batch_size: int
    local_epochs: int
    server_samples: np.ndarray  # (n,) indices of the server's samples in the training set
    local_updates: int | None = None  # batches of a client in a round, in place of local epochs
    public: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # (n,) of samples that all see
    apart: Clients | None = None  # each client with its own shard, where one client trains on all of them

    def __len__(self) -> int:
        return len(self.train)

    @property
    def pooled(self) -> bool:
        """Whether one client trains on all shards; the other clients are only evaluated."""
        return len(self.train) != len(self.test)

    @property
    def no_validation(self) -> str:
        """Why a client that trains has nothing to validate on, with the remedy; empty where each has samples."""
        if not len(self.validation.indices):
            return "clients have no validation samples; write evaluation.client_validation=0.2"
        lacking = np.flatnonzero(self.validation.sizes == 0)
        lacking = lacking[:0] if self.pooled else lacking[self.train.sizes[lacking] > 0]
        if not len(lacking):
            return ""
        samples = counted(int(self.train.sizes[lacking[0]]), "training sample")
        return (
            f"client {lacking[0]}, with {samples}, has none for validation; write a larger "
            "evaluation.client_validation, or give clients more samples, by another partition or fewer clients"
        )

    def longest_first(self, clients: Iterable[int]) -> list[int]:
        """A cohort in the order in which sums run: longest shard first, then by number."""
        numbers = np.fromiter((int(client) for client in clients), dtype=np.int64)
        sizes = self.train.offsets[numbers + 1] - self.train.offsets[numbers]  # without the sizes of all clients
        return numbers[np.lexsort((numbers, -sizes))].tolist()

    def jobs(self, round: ServerRound | Round) -> list[Job]:
        """The jobs of a round's cohort, in its order."""
        client_round = round.for_clients() if isinstance(round, ServerRound) else round
        nothing, pooled = np.empty(0, dtype=np.int64), self.pooled

        def job(client: int) -> Job:
            validation, test = (
                (self.validation.indices, nothing) if pooled else (self.validation[client], self.test[client])
            )
            samples = self.train[client], validation, test, self.public
            return Job(client, client_round, self.batch_size, self.local_epochs, *samples, self.local_updates)

        return [job(c) for c in round.cohort]

    def server_client(self, round: ServerRound, worker: Worker, counters: dict[str, Tensor]) -> ServerClient | None:
        """A client over the server's and the public samples; None if there are none."""
        has_samples = len(self.server_samples) > 0
        if not has_samples and not len(self.public):
            return None
        nothing = np.empty(0, dtype=np.int64)
        server_round = replace(round.for_clients(), purpose="server", cohort=[-1])
        samples = self.server_samples, nothing, nothing, self.public
        job = Job(-1, server_round, self.batch_size, self.local_epochs, *samples, self.local_updates)
        return ServerClient(worker.client([job], counters, [{}]), has_samples)


def share_out(
    data: DataSource,
    partition: Partition,
    clients: int,
    seed: int,
    evaluation: Evaluation,
    batch_size: int,
    local_epochs: int,
    server_samples: int = 0,
    public_samples: int = 0,
    pooled: bool = False,
    local_updates: int | None = None,
) -> Clients:
    """Divide a data set among clients, each with a training, a validation and a test part.

    Args:
        data: training and test set.
        partition: assigns samples to clients.
        clients: number of clients.
        seed: the run's seed.
        evaluation: says where local tests come from and the share of local validation.
        batch_size: samples in a batch.
        local_epochs: passes over a client's shard in a round.
        server_samples: number of training samples that only the server holds.
        public_samples: number of training samples that all clients and the server see, and that are in no shard.
        pooled: one client trains on all shards.
        local_updates: batches of a client in a round, in place of `local_epochs`.

    Raises:
        InputError: no training sample would be left for the clients.
    """
    labelled = Labelled(len(data.train), data.train.labels(), data.classes, data.train_sites)
    server_index = np.sort(generator(seed, "server data").permutation(labelled.size)[:server_samples])
    others = np.setdiff1d(np.arange(labelled.size), server_index)
    if public_samples >= max(len(others), 1):
        raise InputError(_too_many(public_samples, labelled.size, len(server_index)))
    public_index = np.sort(generator(seed, "public data").permutation(others)[:public_samples])
    client_index = np.setdiff1d(others, public_index) if len(others) - public_samples < labelled.size else None
    divided = labelled if client_index is None else labelled.part(client_index)
    shards = partition.train(divided, clients, generator(seed, "partition"))
    if evaluation.client_test == "same_partition":
        test_labels = Labelled(len(data.test), data.test.labels(), data.classes, data.test_sites)
        test = partition.test(test_labels, divided, shards, generator(seed, "test partition"))
    if client_index is not None:
        shards = Shards(client_index[shards.indices], shards.offsets)
    if evaluation.client_test != "same_partition":
        test, shards = _cut(shards, float(evaluation.client_test), generator(seed, "local test"))
    validation, shards = _cut(shards, evaluation.client_validation, generator(seed, "local validation"))
    apart = Clients(shards, validation, test, batch_size, local_epochs, server_index, local_updates, public_index)
    if not pooled:
        return apart
    everything = Shards(np.sort(shards.indices), np.array([0, len(shards.indices)]))
    return replace(apart, train=everything, apart=apart)


def _too_many(public: int, samples: int, of_server: int) -> str:
    has = counted(samples, "sample") + (f", of which the server keeps {of_server}" if of_server else "")
    largest = samples - of_server - 1
    remedy = f"data.public={largest} or less" if largest > 0 else "a smaller server_samples"
    return f"data.public={public}: the training set has {has}, and clients need some to train on; write {remedy}."


def _cut(shards: Shards, share: float, rng: np.random.Generator) -> tuple[Shards, Shards]:
    """Cut a random share off each shard, rounded and never all of it; returns the cut parts and the remainder."""
    sizes = shards.sizes
    if not share:
        return Shards(np.empty(0, np.int64), np.zeros(len(sizes) + 1, np.int64)), shards
    owners = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = shards.indices[np.lexsort((rng.random(len(owners)), owners))]
    counts = np.minimum(np.round(share * sizes), np.maximum(sizes - 1, 0)).astype(np.int64)
    is_cut = np.arange(len(owners)) - np.repeat(shards.offsets[:-1], sizes) < np.repeat(counts, sizes)

    def part(mask: np.ndarray, part_sizes: np.ndarray) -> Shards:
        indices = shuffled[mask]
        return Shards(indices[np.lexsort((indices, owners[mask]))], np.concatenate([[0], np.cumsum(part_sizes)]))

    return part(is_cut, counts), part(~is_cut, sizes - counts)
