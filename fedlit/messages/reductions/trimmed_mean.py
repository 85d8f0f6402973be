"""The trimmed mean of each coordinate: Yin et al. 2018 (Byzantine-Robust Distributed Learning), definition 2."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fedlit.messages.reductions.by_coordinate import RuleByCoordinate
from fedlit.messages.reductions.columns import wide
from fedlit.messages.reductions.rule import check_count


class TrimmedMean(RuleByCoordinate):
    """The mean of each number of the messages without its f smallest and its f largest values.

    With at most f malicious clients it lies between the smallest and the largest value of the others. The paper cuts a
    fraction beta of n messages: f = beta n.
    """

    bound: ClassVar[str] = "2 f + 1"

    def __init__(self, f: int = 1):
        """
        Args:
            f: malicious clients in a round, 0 or more; 0 is the mean.

        Raises:
            InputError: `f` is no such number.
        """
        check_count("f", f)
        self.f = f

    def least(self, f: int) -> int:
        return 2 * f + 1

    def choose(self, ordered: Tensor) -> Tensor:
        kept = wide(ordered[self.f : len(ordered) - self.f])
        return (kept / len(kept)).sum(0).clamp(kept[0], kept[-1])  # rounding alone could leave the range
