"""How much is trained in a trial. The size of the module and of a sample decides, never a measured time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fedlit.torch_compat import pytree
from fedlit.training.module_host import ModuleHost

_MOST_WEIGHTS = 1_000_000
_MOST_WORK = 1_000_000_000  # weights times numbers in a sample, a bound on a step's multiplications


@dataclass(frozen=True)
class TrialSize:
    """
    Attributes:
        rounds: rounds before one of them is repeated.
        samples: of the clients that are trained in a chunk; they differ, so that in the last step one trains alone.
        single: samples of the clients that are trained one by one.
        batch: batch normalisation works on halves of 4, for algorithms that split a batch.
        exact: in 64 bits, where rounding cannot hide or feign a difference; convolutions are slow in it.
    """

    rounds: int
    samples: tuple[int, ...]
    single: tuple[int, ...]
    batch: int
    exact: bool


_SMALL = TrialSize(rounds=2, samples=(8, 4), single=(8, 4), batch=4, exact=True)
_LARGE = TrialSize(rounds=1, samples=(4, 2), single=(2,), batch=2, exact=False)


def trial_size(host: ModuleHost) -> TrialSize:
    """The size of a trial with the module and the data of a worker."""
    (sample,) = host.data.train.batches([np.arange(1)])
    numbers = max((leaf.numel() for leaf in pytree.tree_leaves(sample) if isinstance(leaf, Tensor)), default=1)
    weights = host.layout.size
    return _LARGE if weights > _MOST_WEIGHTS or weights * numbers > _MOST_WORK else _SMALL
