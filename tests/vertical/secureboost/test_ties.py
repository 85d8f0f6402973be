"""Splits of equal gain are decided by party, column and bin, and never by the order of shuffled ids."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.vertical.secureboost import SecureBoost
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import candidates
from tests.vertical.secureboost.stepped import run, tables

TARGET = np.tile([0.0, 0.0, 1.0, 1.0], 20)
SIGNAL = np.tile([0.0, 1.0, 5.0, 6.0], 20)
OTHER = np.random.default_rng(0).integers(0, 9, 80).astype(np.float64)


@pytest.mark.parametrize("start", range(5))
def test_a_host_takes_its_first_column(start: int) -> None:
    """Columns 1 to 4 of the host are the same, up to units and sign."""
    table = np.stack([OTHER, OTHER[::-1], SIGNAL, -SIGNAL, 3 * SIGNAL, SIGNAL + 1], 1)
    data = tables(table, table, TARGET, TARGET, {"guest": (0,), "host": range(1, 6)})
    result = run(SecureBoost(depth=1), data, 1)
    ids = result.messages("guest", "split")[0]["id"]
    assert len(ids) == 4
    records = result.states["host"]["records"]
    assert records["feature"].tolist() == [1] and records["threshold"].tolist() == [1.0]


def test_ids_are_shuffled() -> None:
    table = np.stack([OTHER, SIGNAL, OTHER[::-1], OTHER**2], 1)
    data = tables(table, table, TARGET, TARGET, {"guest": (0,), "host": (1, 2, 3)})
    ids = {int(run(SecureBoost(depth=1), data, 1).messages("guest", "split")[0]["id"][0]) for _ in range(12)}
    assert len(ids) > 1


@pytest.mark.parametrize("order", [("guest", "host", "bank"), ("guest", "bank", "host")])
def test_the_first_party_wins(order: tuple[str, ...]) -> None:
    """The guest before all hosts, and hosts in the order of the configuration."""
    table = np.stack([OTHER, SIGNAL, SIGNAL, SIGNAL], 1)
    hosts = {order[1]: (2,), order[2]: (3,)}
    for guest, expected in (((0,), 1), ((0, 1), 0)):
        data = tables(table, table, TARGET, TARGET, {"guest": guest, **hosts})
        trees = run(SecureBoost(depth=1), data, 1).states["guest"]["joint"]["trees"]
        assert trees["party"][0, 0] == expected


def test_a_bin_without_people_ends_no_left_side() -> None:
    counts = np.array([[3, 0, 2, 0, 0], [0, 0, 5, 0, 0], [2, 0, 1, 0, 2]])  # the last column counts missing values
    assert candidates(counts).tolist() == [[0, 0, 0], [2, 0, 0], [2, 0, 1], [2, 2, 0]]


def test_edges_are_quantiles_or_all_values() -> None:
    values = np.stack([np.arange(1, 101), np.repeat([1, 5, 9, np.nan], 25), np.repeat([0, 1], [97, 3])], 1)
    binned = BinnedColumns.of(values, 4)
    assert [edges.tolist() for edges in binned.edges] == [[25, 50, 75], [1, 5], [0]]
    assert binned.counts(np.arange(100)).tolist() == [[25, 25, 25, 25, 0], [25, 25, 25, 0, 25], [97, 3, 0, 0, 0]]
    skewed = BinnedColumns.of(np.r_[np.zeros(90), np.arange(1, 11)][:, None], 5)
    assert skewed.edges[0].tolist() == [0]
    no_upper_edge = BinnedColumns.of(np.r_[np.arange(1, 7), np.full(14, 9)][:, None], 4)
    assert no_upper_edge.edges[0].tolist() == [5]
