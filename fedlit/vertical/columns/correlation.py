"""Columns to parties so that correlated columns are with one party, or with different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.vertical.columns.base import Columns, check_parties
from fedlit.vertical.columns.importance import check_enough


@dataclass(frozen=True, kw_only=True)
class Correlation(Columns):
    """The parties get equal numbers of columns (up to one), by how the columns correlate.

    Average linkage over the distances 1 - |r|, where r is the Pearson correlation of two columns in the training rows,
    puts the columns into an order in which correlated ones are neighbours (leaf order of Bar-Joseph, Gifford, Jaakkola
    2001). `together` cuts the order into one run of neighbours a party: the parties know different things. `apart`
    deals the order out in turn: the parties know the same things, and a host adds little. No draw is made.

    Attributes:
        parties: names of the parties, the guest among them; of two, the first one gets the table's first column.
        correlated: "together" or "apart".
    """

    parties: Sequence[str] = ("guest", "host")
    correlated: Literal["together", "apart"] = "together"

    def deal(self, table: ColumnTable, seed: int) -> dict[str, list[str]]:
        """The columns of each party.

        Raises:
            InputError: the parties are none, or there are fewer columns than parties.
        """
        parties = list(self.parties)
        check_parties(parties)
        if self.correlated not in ("together", "apart"):
            raise InputError(f"columns.correlated={self.correlated}; write together or apart.")
        check_enough(table, len(parties))
        order = _neighbours(absolute_correlations(table.train))
        if self.correlated == "together":
            parts = np.array_split(order, len(parties))
        else:
            parts = [order[start :: len(parties)] for start in range(len(parties))]
        return {party: [table.columns[i] for i in part] for party, part in zip(parties, parts, strict=True)}


def absolute_correlations(values: np.ndarray) -> np.ndarray:
    """|r| of each pair of columns (D, D), from values (N, D) whose NaN count as the mean of their column.

    A constant column has no correlation with others: 0.
    """
    missing = np.isnan(values)
    counts = np.maximum((~missing).sum(0), 1)
    filled = np.where(missing, np.where(missing, 0, values).sum(0) / counts, values)
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant column has no deviation
        correlations = np.nan_to_num(np.abs(np.corrcoef(filled, rowvar=False))).clip(0, 1)
    np.fill_diagonal(correlations, 1)
    return correlations


def _neighbours(correlations: np.ndarray) -> np.ndarray:
    """Positions of the columns, correlated ones as neighbours and the first column in the first half."""
    if len(correlations) < 3:
        return np.arange(len(correlations))
    distances = squareform(1 - correlations, checks=False)
    order = leaves_list(linkage(distances, "average", optimal_ordering=True))
    return order if np.argmin(order) < len(order) / 2 else order[::-1]  # either direction is as good
