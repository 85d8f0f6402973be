"""What clients go through in one fit: their batches, epoch by epoch, for a stack of clients and for each by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from fedlit.data.client_data import ShardPass
from fedlit.errors import InputError
from fedlit.training.batch_plan import BatchPlan, StackBatch, front_or_rows
from fedlit.training.job import Job, SampleOrder, sample_order


class FitPlan(ABC):
    """The plan of one fit of K clients, longest shard first.

    Args:
        batches: the clients' batches in one pass over their shards.
        jobs: K.
        call: number of the fit in the round, from 0.

    Attributes:
        epochs: (K,) of the fit.
        counts: (K,) batches in an epoch.
    """

    epochs: np.ndarray
    counts: np.ndarray

    def __init__(self, batches: BatchPlan, jobs: Sequence[Job], call: int):
        self.batches, self.jobs, self.call = batches, jobs, call

    @property
    def any_batch(self) -> bool:
        """Whether a client has a batch."""
        return bool((self.epochs * self.counts).any())

    @property
    def common_epochs(self) -> int | None:
        """The epochs of all clients; None if they differ."""
        first = int(self.epochs[0])
        return first if (self.epochs == first).all() else None

    def key(self, r: int, shard_pass: int) -> int:
        """The key of the draws in a client's batches of one pass over its shard."""
        return self.jobs[r].key("batch", self.call, shard_pass)

    @abstractmethod
    def epoch(self, number: int) -> Iterator[StackBatch]:
        """The batches of an epoch, as a stack goes through them."""

    @abstractmethod
    def of_client(self, r: int) -> list[list[ShardPass]]:
        """One client's batches, epoch by epoch."""

    @abstractmethod
    def skipped(self, epochs_run: np.ndarray) -> np.ndarray:
        """(K,) the samples that the fit leaves out.

        Args:
            epochs_run: (K,) a fit may stop early.
        """


class EpochsPlan(FitPlan):
    """Each epoch is a pass over the client's shard.

    Args:
        epochs: (K,).
    """

    def __init__(self, batches: BatchPlan, jobs: Sequence[Job], call: int, epochs: np.ndarray):
        super().__init__(batches, jobs, call)
        self.epochs, self.counts = epochs, batches.counts

    def epoch(self, number: int) -> Iterator[StackBatch]:
        order = sample_order(self.jobs, self.call, number)
        return self.batches.epoch(order, number, self.epochs > number)

    def of_client(self, r: int) -> list[list[ShardPass]]:
        job, count, drop_single = self.jobs[r], self.counts[r], self.batches.drop_single
        return [
            [ShardPass(job.batches(self.call, number, drop_single)[:count], self.key(r, number))]
            for number in range(self.epochs[r])
        ]

    def skipped(self, epochs_run: np.ndarray) -> np.ndarray:
        return epochs_run * (np.array([len(job.train) for job in self.jobs]) - self.batches.seen)


class UpdatesPlan(FitPlan):
    """One epoch of U batches, whatever the size of the shard.

    A client's batches are a stream of passes over its shard that goes on from round to round. The fit of round t has
    the batches (t - 1) U to t U - 1 of the stream: the place follows from the round, so nothing is kept. A client that
    is not asked passes over its batches.

    Args:
        updates: U.
    """

    def __init__(self, batches: BatchPlan, jobs: Sequence[Job], call: int, updates: int):
        super().__init__(batches, jobs, call)
        self.epochs = np.ones(len(jobs), dtype=np.int64)
        self.counts = np.where(batches.counts > 0, updates, 0)
        self._begin = (jobs[0].round.number - 1) * updates

    def epoch(self, number: int) -> Iterator[StackBatch]:
        """All clients step together, except that batches of different sizes are parts of their own."""
        plan, in_pass = self.batches, np.maximum(self.batches.counts, 1)
        sizes = np.array([len(job.train) for job in self.jobs])
        order = SampleOrder(np.empty(sizes.sum(), dtype=np.int64), np.cumsum(sizes) - sizes)
        for batch_idx in range(int(self.counts.max())):
            shard_pass, position = np.divmod(self._begin + batch_idx, in_pass)
            begins_pass = (self.counts > 0) & ((position == 0) | (batch_idx == 0))
            self._order_pass(order, np.flatnonzero(begins_pass), shard_pass)
            lengths = np.where(position < plan.full, plan.batch_size, plan.rest)
            for length in np.unique(lengths[self.counts > 0])[::-1].tolist():
                rows = front_or_rows((lengths == length) & (self.counts > 0))
                index = order.batch(rows, position[rows] * plan.batch_size, length)
                yield StackBatch(rows, index, batch_idx, shard_pass[rows])

    def _order_pass(self, order: SampleOrder, rows: np.ndarray, shard_pass: np.ndarray) -> None:
        """Write the order of the passes that some rows begin."""
        if not len(rows):
            return
        jobs = [self.jobs[r] for r in rows]
        new = sample_order(jobs, self.call, shard_pass[rows], lasting=True)
        for r, job, begin in zip(rows, jobs, new.starts, strict=True):
            order.samples[order.starts[r] :][: len(job.train)] = new.samples[begin:][: len(job.train)]

    def of_client(self, r: int) -> list[list[ShardPass]]:
        job, in_pass, end = self.jobs[r], int(self.batches.counts[r]), self._begin + int(self.counts[r])
        passes, place = list[ShardPass](), self._begin
        while place < end:
            shard_pass, position = divmod(place, in_pass)
            batches = job.batches(self.call, shard_pass, self.batches.drop_single, lasting=True)[:in_pass]
            batches = batches[position : position + end - place]
            passes.append(ShardPass(batches, self.key(r, shard_pass)))
            place += len(batches)
        return [passes]

    def skipped(self, epochs_run: np.ndarray) -> np.ndarray:
        in_pass = np.maximum(self.batches.counts, 1)
        passes = (self._begin + self.counts) // in_pass - self._begin // in_pass
        without_batch = self.batches.counts == 0  # such a client has no pass, and leaves its sample out once
        left_out = np.array([len(job.train) for job in self.jobs]) - self.batches.seen
        return epochs_run * np.where(without_batch, 1, passes) * left_out


def fit_plan(batches: BatchPlan, jobs: Sequence[Job], call: int, epochs: int | Tensor | None) -> FitPlan:
    """The plan of a fit.

    Args:
        epochs: the argument of `Client.fit`; None: the work of the jobs, their epochs or updates.

    Raises:
        InputError: `epochs` is no whole number from 0, or no tensor (K, 1) of them.
    """
    if epochs is None and jobs[0].updates is not None:
        return UpdatesPlan(batches, jobs, call, jobs[0].updates)
    epochs = jobs[0].epochs if epochs is None else epochs
    return EpochsPlan(batches, jobs, call, epochs_by_client(epochs, len(jobs)))


def epochs_by_client(epochs: int | Tensor, clients: int) -> np.ndarray:
    """(K,) whole numbers. A tensor is read once a fit, which waits for its device.

    Raises:
        InputError: see `fit_plan`.
    """
    allowed = f"write a whole number from 0, or a tensor ({clients}, 1) of them, one row a client."
    if isinstance(epochs, Tensor):
        if epochs.shape != (clients, 1):
            raise InputError(f"client.fit: `epochs` has shape {tuple(epochs.shape)}; {allowed}")
        values = epochs[:, 0].tolist()
    else:
        values = [epochs] * clients
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or value < 0 or value % 1 != 0:
            raise InputError(f"client.fit: `epochs` holds {value}; {allowed}")
    return np.array(values, dtype=np.int64)
