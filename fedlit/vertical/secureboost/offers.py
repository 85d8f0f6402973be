"""What a host offers at a level: the sums of its splits under ids without meaning."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np

from fedlit.vertical.party import Message
from fedlit.vertical.secureboost.histograms import Level, LevelSums
from fedlit.vertical.secureboost.packing import Packing


@dataclass(frozen=True)
class Offers:
    """
    Attributes:
        splits: (C, 4) int64 by id: node, column, last bin on the left, missing values left.
        body: the message "sums": ciphertexts of `capacity` sums each, and the node of each id.
    """

    splits: np.ndarray
    body: Message

    @classmethod
    def of(cls, sums: LevelSums, level: Level, nodes: dict[int, np.ndarray], packing: Packing) -> Offers:
        """The order of ids is drawn from the operating system, and no result depends on it."""
        splits, left = sums.left_sums(level, nodes)
        order = list(range(len(left)))
        secrets.SystemRandom().shuffle(order)
        each = packing.capacity(sums.key)
        chunks = [[left[place] for place in order[first : first + each]] for first in range(0, len(order), each)]
        sealed = sums.key.seal(sums.key.spread(lambda chunk: packing.compressed(sums.key, chunk), chunks))
        shuffled = splits[order]
        return cls(shuffled, {"packed": sealed, "node": shuffled[:, 0].astype(np.int16)})

    def chosen(self, ids: np.ndarray) -> dict[int, np.ndarray]:
        """By node, the smallest (column, bin, missing values left) among the ids that the guest has named."""
        best: dict[int, np.ndarray] = {}
        for node, *split in sorted(self.splits[ids].tolist()):
            best.setdefault(node, np.array(split))
        return best
