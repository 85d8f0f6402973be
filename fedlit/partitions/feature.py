"""Feature shift: clients whose inputs look different, on top of any other partition."""

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
    """Samples go to clients by `inner`; each client then sees them rotated, noisy or in other colours.

    The strength is drawn once for each client. The shift is part of the client's data: a sample looks the same in every
    epoch, and a client's test samples get the shift of its training samples. Noise follows Li et al. 2022 (NIID-Bench,
    arXiv:2102.02079), rotation Ghosh et al. 2020 (arXiv:2006.04088). A strength of 0 turns a part off.
    """

    rotation: float = 45.0  # a client's angle ~ U(-rotation, rotation), degrees
    noise: float = 0.0  # standard deviation of a client's noise ~ U(0, noise), in units of the prepared inputs
    colour: float = 0.0  # each channel: factor ~ U(1 - colour, 1 + colour), offset ~ U(-colour, colour)
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
