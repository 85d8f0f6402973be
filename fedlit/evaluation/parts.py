"""The samples on which a module is measured, in parts, each of one client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.data import Samples
from fedlit.randomness import seed_number

Prepare = Callable[[Any, Tensor, Tensor], Any]
"""`prepare(batch, samples, clients)` returns the batch as the module gets it; samples (B,) and their clients (B,)."""


@dataclass(frozen=True)
class Part:
    """Samples that are measured together.

    Attributes:
        index: (n,) of the samples in their set.
        clients: the client of all samples, or (n,) the client of each; -1 for samples of no client.
    """

    index: np.ndarray
    clients: int | np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def clients_of(self, cut: slice) -> Tensor:
        """(B,) the clients of some of the samples."""
        return torch.from_numpy(np.broadcast_to(self.clients, len(self.index))[cut].astype(np.int64))


@dataclass(frozen=True)
class Parts:
    """Parts of one set of samples.

    Attributes:
        split: "train", "validation", "test" or "public", for the keys of draws and for messages.
    """

    samples: Samples
    split: str
    parts: Sequence[Part]
    prepare: Prepare

    @classmethod
    def of(
        cls,
        samples: Samples,
        split: str,
        indices: Sequence[np.ndarray],
        clients: Sequence[int | np.ndarray],
        prepare: Prepare,
    ) -> Parts:
        parts = [Part(index, client) for index, client in zip(indices, clients, strict=True)]
        return cls(samples, split, parts, prepare)

    def __len__(self) -> int:
        return len(self.parts)

    def batches(self, row: int, batch_size: int) -> Iterator[Any]:
        """The prepared batches of one part, in its order."""
        part = self.parts[row]
        cuts = [slice(i, i + batch_size) for i in range(0, len(part), batch_size)]
        for cut, batch in zip(cuts, self.samples.batches([part.index[cut] for cut in cuts]), strict=True):
            yield self.prepare(batch, torch.from_numpy(part.index[cut]), part.clients_of(cut))

    def batch_length(self, row: int, number: int, batch_size: int) -> int:
        """Samples in a batch of a part, whatever the axes of its tensors are."""
        return min(batch_size, len(self.parts[row]) - number * batch_size)

    def key(self, row: int) -> int:
        """Of the draws in the steps of a part. It has no round and no model in it: two rounds differ by the model."""
        clients = self.parts[row].clients
        return seed_number("measure", self.split, clients if isinstance(clients, int) else -1) & (2**62 - 1)
