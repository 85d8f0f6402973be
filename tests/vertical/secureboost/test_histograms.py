"""A host's histograms: the smaller sibling is summed and the other one is the difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.plain import PlainKey
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import candidates
from fedlit.vertical.secureboost.histograms import LevelSums
from tests.vertical.secureboost.samples import columns


class Counting(PlainKey):
    """Counts its operations."""

    def __init__(self) -> None:
        super().__init__(256)
        self.calls: Counter[str] = Counter()

    def add(self, first: Any, second: Any) -> Any:
        self.calls["add"] += 1
        return super().add(first, second)

    def subtract(self, first: Any, second: Any) -> Any:
        self.calls["subtract"] += 1
        return super().subtract(first, second)


def test_histograms_are_the_sums_of_each_node_and_the_larger_sibling_is_not_summed() -> None:
    table, _ = columns(60)
    binned = BinnedColumns.of(table[:, :3], 4)
    numbers = np.random.default_rng(0).integers(-(10**9), 10**9, 60)
    key = Counting()
    sums = LevelSums(key, binned, numbers.tolist())
    levels = [
        {0: np.arange(60)},
        {1: np.arange(50), 2: np.arange(50, 60)},  # the right one is smaller
        {3: np.arange(4), 4: np.arange(4, 50), 5: np.arange(50, 55), 6: np.arange(55, 60)},
    ]
    above: dict[int, Any] = {}
    for nodes, most in zip(levels, (60, 10, 4 + 5), strict=True):
        key.calls.clear()
        above = sums.histograms(nodes, above)
        assert key.calls["add"] <= 3 * most and (key.calls["subtract"] > 0) == (len(nodes) > 1)
        for node, rows in nodes.items():
            for feature, histogram in enumerate(above[node]):
                bins = binned.bins[rows, feature]
                assert histogram == {int(b): int(numbers[rows][bins == b].sum()) for b in np.unique(bins)}

    splits, left = sums.left_sums(above, levels[-1])
    assert splits.tolist() == sorted(splits.tolist())
    for (node, feature, last, missing_left), total in zip(splits.tolist(), left, strict=True):
        bins = binned.bins[levels[-1][node], feature]
        goes_left = (bins <= last) | ((bins == binned.missing) & bool(missing_left))
        assert 0 < goes_left.sum() < len(bins) and total == numbers[levels[-1][node]][goes_left].sum()


def test_splits_divide_people_in_different_ways() -> None:
    """Each division of a node by a column's bin is offered once, and none that leaves a side empty."""
    table, _ = columns(40, missing=0.3)
    binned = BinnedColumns.of(table[:, :3], 5)
    rows = np.arange(0, 40, 3)
    splits, sides = candidates(binned.counts(rows)).tolist(), set()
    for feature, last, missing_left in splits:
        bins = binned.bins[rows, feature]
        sides.add((feature, tuple((bins <= last) | ((bins == binned.missing) & bool(missing_left)))))
    assert len(sides) == len(splits) > 3
    assert all(0 < sum(side) < len(rows) for _, side in sides)
