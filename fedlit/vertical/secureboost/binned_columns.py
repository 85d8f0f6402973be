"""A party's columns in quantile bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BinnedColumns:
    """Bin b of a column holds the values in (edge[b - 1], edge[b]]; the last one has no upper edge.

    Attributes:
        values: (N, D) float64.
        edges: of each column, increasing; at most B - 1.
        bins: (N, D) int64: from 0 to B - 1; B where a value is missing (NaN).
        missing: B.
    """

    values: np.ndarray
    edges: Sequence[np.ndarray]
    bins: np.ndarray
    missing: int

    @classmethod
    def of(cls, values: np.ndarray, bins: int) -> BinnedColumns:
        """Edges at the quantiles b / B of the training values, or at all values of a column with at most B of them."""
        edges = [_edges(column[~np.isnan(column)], bins) for column in values.T]
        binned = np.empty(values.shape, np.int64)
        for feature, column in enumerate(values.T):
            binned[:, feature] = np.searchsorted(edges[feature], column, side="left")
        binned[np.isnan(values)] = bins
        return cls(values, edges, binned, bins)

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """(D, B + 1): the people in each bin, and those without a value."""
        return self.histogram(rows, np.ones(len(self.bins), np.int64))

    def histogram(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """(D, B + 1) int64: sums of numbers, (N,) int64, over the rows in each bin; exact."""
        features = self.bins.shape[1]
        sums = np.zeros(features * (self.missing + 1), np.int64)
        places = self.bins[rows] + np.arange(features) * (self.missing + 1)
        np.add.at(sums, places.ravel(), np.repeat(numbers[rows], features))
        return sums.reshape(features, self.missing + 1)


def _edges(present: np.ndarray, bins: int) -> np.ndarray:
    """Edges are values of the column, so equal columns in other units are cut at the same people."""
    distinct = np.unique(present)
    if len(distinct) > bins:
        levels = np.linspace(0, 1, bins + 1)[1:-1]
        distinct = np.unique(np.quantile(present, levels, method="inverted_cdf"))
        return distinct[distinct < present.max()]
    return distinct[:-1]
