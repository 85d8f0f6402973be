"""The partition of Karimireddy et al. 2020, section 7: s of the samples are dealt at random, the rest by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit import Labelled, Partition


@dataclass(frozen=True)
class Similarity(Partition):
    """Each client gets an equal part of `similarity` N random samples, and an equal block of the others, by label.

    1 is an IID partition; at 0 most clients have one or two classes.
    """

    similarity: float = 0.1

    by_label: ClassVar[bool] = True  # fedlit refuses data without class labels

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        assert data.labels is not None
        shuffled = rng.permutation(data.size)
        dealt, rest = np.split(shuffled, [round(self.similarity * data.size)])
        by_label = rest[np.argsort(data.labels[rest], kind="stable")]
        owner = np.empty(data.size, np.int64)
        owner[dealt] = np.arange(len(dealt)) % clients
        owner[by_label] = np.arange(len(rest)) * clients // max(len(rest), 1)
        return owner
