"""The splits that a party can make in a node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.vertical.secureboost.binned_columns import BinnedColumns


def candidates(counts: np.ndarray) -> np.ndarray:
    """Every way to divide the people of a node by a column's bin, once each: a bin without people ends no left side.

    Where values are missing, their people go to the left or to the right (Chen and Guestrin 2016, "XGBoost: A Scalable
    Tree Boosting System", algorithm 3), and a split may also separate them from all others.

    Args:
        counts: (D, B + 1) people by bin; the last column counts missing values.

    Returns:
        (C, 3) int64, sorted: the column, the last bin on the left, and 1 where missing values go left.
    """
    present, missing = counts[:, :-1], counts[:, -1:] > 0
    after = present.sum(1, keepdims=True) > present.cumsum(1)
    right = (present > 0) & (after | missing)
    left = (present > 0) & after & missing
    return np.argwhere(np.stack([right, left], -1))


@dataclass(frozen=True)
class Split:
    """A rule: left where the column's value is at most the threshold.

    Attributes:
        feature: position of the column in its party's table.
        threshold: infinite where missing values alone go right.
        missing_left: whether people without a value go left. If none is missing in training, it is the larger side.
    """

    feature: int
    threshold: float
    missing_left: bool

    @classmethod
    def of(cls, columns: BinnedColumns, rows: np.ndarray, candidate: np.ndarray) -> Split:
        """A row of `candidates` as a rule for these people and others."""
        feature, last, missing_left = candidate.tolist()
        edges, bins = columns.edges[feature], columns.bins[rows, feature]
        if not (bins == columns.missing).any():
            missing_left = 2 * (bins <= last).sum() >= len(bins)
        return cls(feature, float(edges[last]) if last < len(edges) else np.inf, bool(missing_left))

    def left(self, values: np.ndarray) -> np.ndarray:
        """(K,) truth values for the rows of a table, (K, D)."""
        return goes_left(values[:, self.feature], self.threshold, self.missing_left)


def goes_left(values: np.ndarray, threshold: np.ndarray | float, missing_left: np.ndarray | bool) -> np.ndarray:
    """Whether people go left by values of the columns that are asked. All arguments broadcast."""
    return (values <= threshold) | (np.isnan(values) & missing_left)
