"""The shipped schedules."""

from __future__ import annotations

from math import cos, pi

from fedlit.schedules.base import RoundSchedule


class Constant(RoundSchedule):
    """decay(s, S) = 1."""

    @property
    def changes(self) -> bool:
        return self.warmup > 0

    def decay(self, done: int, rounds: int) -> float:
        return 1.0


class Step(RoundSchedule):
    """decay(s, S) = factor ** floor(s / interval).

    >>> [Step(interval=2, factor=0.5)(round, 6) for round in range(1, 7)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, interval: int = 10, factor: float = 0.1, warmup: int = 0):
        """
        Args:
            interval: rounds between two changes.
            factor: of a change.
            warmup: see `RoundSchedule`.
        """
        super().__init__(warmup)
        self.interval, self.factor = interval, factor

    def decay(self, done: int, rounds: int) -> float:
        return float(self.factor ** (done // self.interval))


class Exponential(RoundSchedule):
    """decay(s, S) = factor ** s.

    >>> [Exponential(factor=0.5)(round, 3) for round in (1, 2, 3)]
    [1.0, 0.5, 0.25]
    """

    def __init__(self, factor: float = 0.99, warmup: int = 0):
        """
        Args:
            factor: of each round.
            warmup: see `RoundSchedule`.
        """
        super().__init__(warmup)
        self.factor = factor

    def decay(self, done: int, rounds: int) -> float:
        return float(self.factor**done)


class Cosine(RoundSchedule):
    """decay(s, S) = final + (1 - final) (1 + cos(pi s / S)) / 2.

    The last round has s = S - 1, so that its factor is above `final`.

    >>> [round(Cosine()(number, 4), 3) for number in (1, 2, 3, 4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    def __init__(self, final: float = 0.0, warmup: int = 0):
        """
        Args:
            final: the limit of the factor.
            warmup: see `RoundSchedule`.
        """
        super().__init__(warmup)
        self.final = final

    def decay(self, done: int, rounds: int) -> float:
        return self.final + (1 - self.final) * (1 + cos(pi * done / rounds)) / 2
