"""A fixed number of clients, drawn without replacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.samplers.base import Probe, Sampler


class Uniform(Sampler):
    """A uniform subset of fixed size, drawn without replacement."""

    def __init__(self, participation: float = 1.0, number: int | None = None):
        """
        Args:
            participation: fraction of the clients in a round, above 0 and at most 1; at least one client is asked.
            number: number of clients in a round, in place of a fraction.
        """
        self.participation, self.number = participation, number

    def _size(self, clients: int) -> int:
        if self.number is None:
            return max(1, round(self.participation * clients))
        if self.number > clients:
            raise InputError(
                f"sampler.number={self.number} is more than the {counted(clients, 'client')}; write "
                f"sampler.number={clients} or less."
            )
        return self.number

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        return rng.choice(clients, self._size(clients), replace=False).tolist()

    def expected(self, clients: int) -> float:
        return float(self._size(clients))
