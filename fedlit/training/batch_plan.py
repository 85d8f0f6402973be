"""In which order a stack of clients goes through its batches.

Clients are independent, so only each one's own order counts. They go epoch by epoch: full batches of all who still have
one, which is a shrinking front of the stack (it is sorted, longest first), then the last, smaller batches, those of one
size together. Shards of any sizes then take few calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedlit.training.job import SampleOrder


@dataclass
class StackBatch:
    """One batch of some clients at once."""

    rows: slice | np.ndarray  # a front of the stack, or which rows
    index: np.ndarray  # (n, B) their samples
    batch_idx: int  # the number of this batch in the epoch; of the first of the rows, where they differ


class BatchPlan:
    """
    Args:
        sizes: (K,) samples of the clients, longest first.
        batch_size: of a full batch.
        drop_single: leave out last batches of one sample.
        most: of the batches of an epoch (see `limited`).
        same_number: put last batches together only where they have the same number in the epoch.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        batch_size: int,
        drop_single: bool = False,
        most: int | float | None = None,
        same_number: bool = False,
    ):
        self.batch_size = batch_size
        rest = sizes % batch_size
        if drop_single and batch_size > 1:
            rest = np.where(rest == 1, 0, rest)
        full = sizes // batch_size
        count = full + (rest > 0)
        limits = count if most is None else np.array([limited(int(n), most) for n in count])
        self.rest = np.where(count > limits, 0, rest)
        self.full = np.minimum(full, limits)
        self.counts = self.full + (self.rest > 0)  # (K,) batches in an epoch
        self.seen = self.full * batch_size + self.rest  # (K,) samples in an epoch
        self._lasts = self._group(same_number)

    def _group(self, same_number: bool) -> list[np.ndarray]:
        groups: dict[tuple[int, int], list[int]] = {}
        for row in np.flatnonzero(self.rest):
            number = int(self.full[row]) if same_number else 0
            groups.setdefault((int(self.rest[row]), number), []).append(int(row))
        return [np.array(rows) for _, rows in sorted(groups.items(), reverse=True)]

    def epoch(self, order: SampleOrder) -> Iterator[StackBatch]:
        """`order`: the clients' samples in the epoch's order."""
        for j in range(int(self.full.max(initial=0))):
            front = slice(0, int((self.full > j).sum()))
            yield StackBatch(front, order.cut(front, j * self.batch_size, self.batch_size), j)
        for rows in self._lasts:
            index = order.cut(rows, self.full[rows] * self.batch_size, int(self.rest[rows[0]]))
            yield StackBatch(rows, index, int(self.full[rows[0]]))


def limited(batches: int, most: int | float | None) -> int:
    """How many of an epoch's batches are taken: at most so many, or this fraction of them, and at least one."""
    if most is None or not batches:
        return batches
    return max(int(batches * most), 1) if isinstance(most, float) else min(batches, most)
