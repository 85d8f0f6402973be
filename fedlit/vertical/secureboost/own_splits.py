"""The guest's best split of its own columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import candidates
from fedlit.vertical.secureboost.gains import ROUNDING, gains
from fedlit.vertical.secureboost.objectives import Derivatives
from fedlit.vertical.secureboost.options import Options
from fedlit.vertical.secureboost.trees import GUEST_PARTY


@dataclass(frozen=True)
class Choice:
    """The best split of a node so far. Parties are compared in their fixed order, and a later one has to gain more.

    Attributes:
        gain: at first, what a split has to exceed.
        party: its owner, by number; None: no split gains enough.
        candidate: the guest's row of `candidates`; of a host, the ids of all its splits with this gain.
    """

    gain: float
    party: int | None = None
    candidate: Any = None

    @classmethod
    def none(cls, options: Options) -> Choice:
        return cls(options.min_gain + ROUNDING)

    def or_better(self, gained: np.ndarray, party: int, choices: np.ndarray, ties: bool) -> Choice:
        """
        Args:
            gained: (K,) gains of the party's splits.
            choices: (K, ...) what names each of them.
            ties: whether all splits of the best gain are kept, or the first one alone.
        """
        best = gained.max(initial=-np.inf)
        if not best > self.gain:
            return self
        return Choice(float(best), party, choices[gained == best] if ties else choices[gained.argmax()])


def best_own_split(columns: BinnedColumns, rows: np.ndarray, derivatives: Derivatives, options: Options) -> Choice:
    """The first of the best splits by (column, bin, missing values right or left)."""
    splits = candidates(columns.counts(rows))
    feature, last, missing_left = splits.T
    sums = []
    for numbers in (derivatives.g, derivatives.h):
        table = columns.histogram(rows, numbers)
        sums.append(table[:, :-1].cumsum(1)[feature, last] + missing_left * table[feature, -1])
    gained = gains(sums[0], sums[1], derivatives.sums(rows), derivatives, options)
    return Choice.none(options).or_better(gained, GUEST_PARTY, splits, ties=False)
