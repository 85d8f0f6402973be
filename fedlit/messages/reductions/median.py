"""The median of each coordinate: Yin et al. 2018 (Byzantine-Robust Distributed Learning), definition 1."""

from __future__ import annotations

from torch import Tensor

from fedlit.messages.reductions.by_coordinate import RuleByCoordinate, middle


class Median(RuleByCoordinate):
    """The median of each number of the messages; of an even n the mean of the two in the middle."""

    def choose(self, ordered: Tensor) -> Tensor:
        return middle(ordered)
