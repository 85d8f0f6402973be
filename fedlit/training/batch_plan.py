"""The batches that clients have in an epoch, and the order in which a stack of clients goes through them.

Clients are independent, so only the order within each client matters. A stack goes epoch by epoch: first the full
batches, each time of all clients that still have one (a shrinking front of the stack, which is sorted longest first);
then the last, smaller batches, those of one size together. So shards of any sizes take few calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedlit.training.job import SampleOrder


@dataclass
class StackBatch:
    """One batch of each of some clients."""

    rows: slice | np.ndarray  # a front of the stack, or row numbers
    index: np.ndarray  # (n, B) their samples
    batch_idx: int  # the number of this batch in the epoch; where rows differ in it, that of the first row
    shard_pass: int | np.ndarray  # number of the pass over the shard, which keys the draws; (n,) where rows differ


class BatchPlan:
    """The batches of K clients.

    Args:
        sizes: (K,) samples of the clients, longest first.
        batch_size: of a full batch.
        drop_single: leave out last batches of one sample.
        limit: of the batches of an epoch (see `limited`).
        same_number: train last batches together only where they have the same number in the epoch.

    Attributes:
        full: (K,) full batches in an epoch.
        rest: (K,) samples in the last, smaller batch; 0 where there is none.
        counts: (K,) batches in an epoch.
        seen: (K,) samples in an epoch.
        drop_single: as the argument.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        batch_size: int,
        drop_single: bool = False,
        limit: int | float | None = None,
        same_number: bool = False,
    ):
        self.batch_size, self.drop_single = batch_size, drop_single
        rest = sizes % batch_size
        if drop_single and batch_size > 1:
            rest = np.where(rest == 1, 0, rest)
        full = sizes // batch_size
        counts = full + (rest > 0)
        limits = counts if limit is None else np.array([limited(int(n), limit) for n in counts])
        self.rest = np.where(counts > limits, 0, rest)
        self.full = np.minimum(full, limits)
        self.counts = self.full + (self.rest > 0)
        self.seen = self.full * batch_size + self.rest
        self._last_batches = self._group_last_batches(same_number)

    def _group_last_batches(self, same_number: bool) -> list[np.ndarray]:
        """Rows whose last batches have the same size (and number), largest size first."""
        groups: dict[tuple[int, int], list[int]] = {}
        for row in np.flatnonzero(self.rest):
            number = int(self.full[row]) if same_number else 0
            groups.setdefault((int(self.rest[row]), number), []).append(int(row))
        return [np.array(rows) for _, rows in sorted(groups.items(), reverse=True)]

    def epoch(self, order: SampleOrder, number: int, trains: np.ndarray) -> Iterator[StackBatch]:
        """The batches of an epoch whose samples come in `order`.

        Args:
            number: of the epoch in the fit.
            trains: (K,) bools: the clients whose fit has this epoch.
        """
        full = np.where(trains, self.full, 0)
        for j in range(int(full.max(initial=0))):
            rows = front_or_rows(full > j)
            yield StackBatch(rows, order.batch(rows, j * self.batch_size, self.batch_size), j, number)
        for last_rows in self._last_batches:
            rows = last_rows[trains[last_rows]]
            if len(rows):
                index = order.batch(rows, self.full[rows] * self.batch_size, int(self.rest[rows[0]]))
                yield StackBatch(rows, index, int(self.full[rows[0]]), number)


def front_or_rows(chosen: np.ndarray) -> slice | np.ndarray:
    """The chosen rows of a stack: a slice where they are its front, which needs no copy, else their numbers."""
    count = int(np.count_nonzero(chosen))
    return slice(0, count) if chosen[:count].all() else np.flatnonzero(chosen)


def limited(batches: int, limit: int | float | None) -> int:
    """How many of an epoch's batches are used: at most `limit`, or this fraction of them where it is a float, and at
    least one."""
    if limit is None or not batches:
        return batches
    return max(int(batches * limit), 1) if isinstance(limit, float) else min(batches, limit)
