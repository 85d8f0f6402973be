"""The columns of one party."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GUEST = "guest"
"""The party that holds the target. All others hold columns alone (hosts), or nothing (a coordinator)."""


@dataclass(frozen=True)
class PartyData:
    """What one party holds of the training and the test people.

    Attributes:
        party: its name.
        columns: names of its columns, D of them.
        train, test: (N, D) and (M, D) float64; NaN where a value is missing.
        train_ids, test_ids: (N,) and (M,) texts that name the people.
        train_target, test_target: (N,) and (M,) float64, for the guest alone: classes 0 and 1, or values.
    """

    party: str
    columns: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    train_ids: np.ndarray
    test_ids: np.ndarray
    train_target: np.ndarray | None = None
    test_target: np.ndarray | None = None

    def rows(self, train: np.ndarray, test: np.ndarray) -> PartyData:
        """The people at these positions, in this order."""
        return replace(
            self,
            train=self.train[train],
            test=self.test[test],
            train_ids=self.train_ids[train],
            test_ids=self.test_ids[test],
            train_target=None if self.train_target is None else self.train_target[train],
            test_target=None if self.test_target is None else self.test_target[test],
        )
