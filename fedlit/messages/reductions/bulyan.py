"""Bulyan: El Mhamdi et al. 2018 (The Hidden Vulnerability of Distributed Learning in Byzantium), section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.by_coordinate import ascending, middle
from fedlit.messages.reductions.columns import by_column, wide
from fedlit.messages.reductions.distances import squared_distances
from fedlit.messages.reductions.krum import krum_scores
from fedlit.messages.reductions.rule import Messages, check_count


class Bulyan(RuleByClient):
    """Krum chooses theta = n - 2 f messages, one after the other from those that are left; then each number is the mean
    of the beta = theta - 2 f of the chosen values that are closest to their median.

    Krum among k messages that are left takes k - f - 2 neighbours, and at least one. All numbers of a message are
    reduced in this way, not the weights alone.
    """

    bound: ClassVar[str] = "4 f + 3"

    def __init__(self, f: int = 1, statistics: str = "same"):
        """
        Args:
            f: malicious clients in a round, 0 or more; 0 is the mean.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_count("f", f)
        self.f = f

    def least(self, f: int) -> int:
        return 4 * f + 3

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        squared, left = squared_distances(messages.vectors(list(keys))), list(range(len(messages.clients)))
        chosen = []
        for _ in range(len(left) - 2 * self.f):
            scores = krum_scores(squared[np.ix_(left, left)], max(1, len(left) - self.f - 2))
            chosen.append(left.pop(int(np.argmin(scores))))
        factors = np.zeros(len(squared))
        factors[chosen] = 1 / len(chosen)
        return Weights(factors, report={"selected": len(chosen)})

    def combine(self, value: Tensor, factors: np.ndarray) -> Tensor:
        chosen = torch.from_numpy(np.flatnonzero(factors)).to(value.device, non_blocking=True)
        return by_column(value, lambda block: self._around_median(ascending(block.index_select(0, chosen))))

    def _around_median(self, ordered: Tensor) -> Tensor:
        """The mean of the beta closest to the median of each column: neighbours in ordered (theta, b)."""
        beta = len(ordered) - 2 * self.f
        numbers, centre = wide(ordered), middle(ordered)
        starts = len(ordered) - beta + 1
        reach = torch.stack([(centre - numbers[i]).maximum(numbers[i + beta - 1] - centre) for i in range(starts)])
        start, row = reach.argmin(0), torch.arange(len(ordered), device=ordered.device)[:, None]
        kept = (row >= start) & (row < start + beta)
        return torch.where(kept, numbers / beta, 0).sum(0)
