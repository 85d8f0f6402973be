"""A host's sums of ciphertexts, which it cannot read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.base import PublicKey
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import candidates

Histogram = dict[int, Any]
"""The ciphertext of each bin's sum, for the bins of one column that have people in a node."""

Level = dict[int, list[Histogram]]
"""The histograms of each column, by node."""


@dataclass(frozen=True)
class LevelSums:
    """
    Attributes:
        key: of the guest.
        columns: of this host.
        samples: a ciphertext for each of N people.
    """

    key: PublicKey
    columns: BinnedColumns
    samples: Sequence[Any]

    def histograms(self, nodes: Mapping[int, np.ndarray], above: Level) -> Level:
        """Those of a level's nodes. Of two siblings the smaller one is summed; the other one is the parent without it.

        Args:
            nodes: rows by node.
            above: the histograms of the level above; empty at the root.
        """
        features = range(self.columns.bins.shape[1])
        summed = [node for node in sorted(nodes) if node == 0 or _summed(nodes, node)]
        sums = self.key.spread(
            lambda task: self._sum(nodes[task[0]], task[1]),
            [(node, feature) for node in summed for feature in features],
        )
        level = {node: sums[place * len(features) :][: len(features)] for place, node in enumerate(summed)}
        others = [node for node in sorted(nodes) if node not in level]
        differences = self.key.spread(
            lambda node: [
                self._difference(above[(node - 1) // 2][feature], level[_sibling(node)][feature], nodes[node], feature)
                for feature in features
            ],
            others,
        )
        return level | dict(zip(others, differences, strict=True))

    def _sum(self, rows: np.ndarray, feature: int) -> Histogram:
        add = self.key.add
        sums: Histogram = {}
        for row, place in zip(rows.tolist(), self.columns.bins[rows, feature].tolist(), strict=True):
            sums[place] = add(sums[place], self.samples[row]) if place in sums else self.samples[row]
        return sums

    def _difference(self, parent: Histogram, sibling: Histogram, rows: np.ndarray, feature: int) -> Histogram:
        return {
            place: self.key.subtract(parent[place], sibling[place]) if place in sibling else parent[place]
            for place in np.unique(self.columns.bins[rows, feature]).tolist()
        }

    def left_sums(self, level: Level, nodes: Mapping[int, np.ndarray]) -> tuple[np.ndarray, list[Any]]:
        """Every split of every node: (C, 4) int64 rows of (node, column, last bin on the left, missing values left), in
        this order, and the ciphertexts of their left sides' sums."""
        rows: list[tuple[int, int, int, int]] = []
        sums: list[Any] = []
        for node in sorted(nodes):
            for feature, last, missing_left in candidates(self.columns.counts(nodes[node])).tolist():
                if not rows or rows[-1][:2] != (node, feature):
                    below = self._cumulated(level[node][feature])
                left = below[last]
                if missing_left:
                    left = self.key.add(left, level[node][feature][self.columns.missing])
                rows.append((node, feature, last, missing_left))
                sums.append(left)
        return np.array(rows, np.int64).reshape(-1, 4), sums

    def _cumulated(self, histogram: Histogram) -> Histogram:
        total: Any = None
        sums: Histogram = {}
        for place in sorted(histogram.keys() - {self.columns.missing}):
            total = histogram[place] if total is None else self.key.add(total, histogram[place])
            sums[place] = total
        return sums


def _sibling(node: int) -> int:
    return node + 1 if node % 2 else node - 1


def _summed(nodes: Mapping[int, np.ndarray], node: int) -> bool:
    other = _sibling(node)
    return (len(nodes[node]), node) < (len(nodes[other]), other)
