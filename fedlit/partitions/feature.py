"""Clients whose inputs look different (feature shift), over any other partition of the samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedlit.data.transform import Transform, chain
from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.feature_shift import FeatureShift
from fedlit.partitions.iid import Iid
from fedlit.partitions.shards import Shards
from fedlit.randomness import seed_number


@dataclass(frozen=True)
class Feature(Partition):
    """Samples go to clients by `inner`; then each client sees them rotated, noisy or in other colours.

    How much is drawn once for each client. The shift is part of the client's data: a sample looks the same in every
    epoch, and test samples of a client are shifted as its training samples are. After Li et al. 2022 (NIID-Bench,
    arXiv:2102.02079, noise) and Ghosh et al. 2020 (arXiv:2006.04088, rotation). Strengths of 0 leave a part out.
    """

    rotation: float = 45.0  # a client's angle is uniform in +- this, degrees
    noise: float = 0.0  # a client's Gaussian noise has a standard deviation uniform in 0 to this, of prepared inputs
    colour: float = 0.0  # a client's factor and offset of each channel are uniform in 1 +- this and +- this
    inner: Partition = field(default_factory=Iid)

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return self.inner.owners(data, clients, rng)

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        return self.inner.test(test, train, shards, rng)

    def transform(self, seed: int) -> Transform | None:
        shift = FeatureShift(seed_number(seed, "feature shift"), self.rotation, self.noise, self.colour)
        return chain(self.inner.transform(seed), shift)

    def clients(self, data: Labelled) -> int | None:
        return self.inner.clients(data)

    def check_labels(self, data: Labelled) -> None:
        self.inner.check_labels(data)
