"""Rules that treat each coordinate of the messages by itself."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.columns import by_column, wide
from fedlit.messages.reductions.rule import Messages, RobustRule
from fedlit.messages.wire import unflatten_message


class RuleByCoordinate(RobustRule):
    """One rule for each number of the message: weights, statistics and all others. It excludes no client."""

    @abstractmethod
    def choose(self, ordered: Tensor) -> Tensor:
        """
        Args:
            ordered: (n, b), each column in ascending order.

        Returns:
            (b,), in any floating type.
        """

    def reduce(self, messages: Messages) -> Reduced:
        reduced = {
            key: by_column(value, lambda block: self.choose(ascending(block))) for key, value in messages.wire.items()
        }
        return Reduced(unflatten_message(reduced))


def ascending(block: Tensor) -> Tensor:
    """Each column of (n, b) in ascending order."""
    if block.dtype.itemsize < 4:
        block = block.to(torch.float32)  # neither numpy nor torch sorts all short types
    if block.device.type == "cpu":
        return torch.from_numpy(np.sort(block.numpy(), 0))  # several times as fast as torch's
    return block.sort(0).values


def middle(ordered: Tensor) -> Tensor:
    """(b,) the median of each column of ordered (n, b), in 64 bits: the mean of the two in the middle for an even n."""
    n = len(ordered)
    low, high = wide(ordered[(n - 1) // 2]), wide(ordered[n // 2])
    return low if n % 2 else low / 2 + high / 2
