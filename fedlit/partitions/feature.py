"""Feature shift: clients whose inputs look different, on top of any other partition."""

from __future__ import annotations

from collections.abc import Sequence
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

    `angles` plants clusters, as in Ghosh et al. 2020 (arXiv:2006.04088): the images of client i are rotated by
    `angles[i % len(angles)]`, and by its draw of `rotation` in addition if both are given.

    The strength is drawn once for each client. The shift is part of the client's data: a sample looks the same in every
    epoch, and a client's test samples get the shift of its training samples. Noise follows Li et al. 2022 (NIID-Bench,
    arXiv:2102.02079), rotation Ghosh et al. 2020 (arXiv:2006.04088). A strength of 0 turns a part off.
    """

    rotation: float | None = None  # a client's angle ~ U(-rotation, rotation), degrees; None: 45, or 0 with angles
    noise: float = 0.0  # standard deviation of a client's noise ~ U(0, noise), in units of the prepared inputs
    colour: float = 0.0  # each channel: factor ~ U(1 - colour, 1 + colour), offset ~ U(-colour, colour)
    inner: Partition = field(default_factory=Iid)
    angles: Sequence[float] | None = None  # client i is rotated by angles[i % len(angles)], degrees

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        return self.inner.owners(data, clients, rng)

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        return self.inner.test(test, train, shards, rng)

    def transform(self, seed: int) -> Transform | None:
        rotation = self.rotation if self.rotation is not None else 0.0 if self.angles else 45.0
        shift = FeatureShift(
            seed_number(seed, "feature shift"), rotation, self.noise, self.colour, tuple(self.angles or ())
        )
        return chain(self.inner.transform(seed), shift)

    def clients(self, data: Labelled) -> int | None:
        return self.inner.clients(data)

    def check_labels(self, data: Labelled) -> None:
        self.inner.check_labels(data)
