"""The contract of a division: what a class of a user's may deal out, and the people that each party knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.vertical.columns import Columns
from tests.vertical.columns.tables import table_with

TABLE = table_with(["a", "b", "c"], rows=600, test_rows=200)


@dataclass(frozen=True, kw_only=True)
class Given(Columns):
    dealt: Mapping[str, Sequence[str]]

    def deal(self, table: ColumnTable, seed: int) -> Mapping[str, Sequence[str]]:
        return self.dealt


def given(overlap: float = 1.0, **dealt: Sequence[str]) -> Given:
    return Given(dealt=dealt or {"guest": ["c", "a"], "host": ["b"]}, overlap=overlap)


def test_columns_are_in_the_order_of_the_table() -> None:
    assert given().share(TABLE, 0) == {"guest": ("a", "c"), "host": ("b",)}


@pytest.mark.parametrize(
    ("dealt", "message"),
    [
        ({"guest": ["a", "b"], "host": ["b", "c"]}, "columns: b goes to guest and to host; each column has one party"),
        ({"guest": ["a", "b", "b"], "host": ["c"]}, "columns: b goes twice"),
        ({"guest": ["a"], "host": ["b"]}, "columns: no party has c"),
        ({"guest": ["a", "d"], "host": ["b", "c"]}, "guest gets d, which is no column of small"),
        ({"guest": ["a", "b", "c"], "host": []}, "host has no column; only the guest may have none"),
        ({"guest": ["a", "b", "c"]}, "has the guest alone"),
        ({"bank": ["a", "b"], "host": ["c"]}, "has no guest among bank, host"),
    ],
)
def test_what_is_no_division_is_refused(dealt: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        given(**dealt).share(TABLE, 0)


def test_with_an_overlap_of_1_every_party_knows_all_people_in_order() -> None:
    people = given().people(TABLE, ["guest", "host"], 3)
    for train, test in people.values():
        assert train.tolist() == list(range(600)) and test.tolist() == list(range(200))


@pytest.mark.parametrize("parties", [["guest", "host"], ["guest", "bank", "shop"]])
def test_each_person_is_with_all_parties_or_with_one(parties: list[str]) -> None:
    people = given(overlap=0.4).people(TABLE, parties, 3)
    assert list(people) == parties
    holders = np.zeros((2, 600), dtype=int)
    for train, test in people.values():
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        holders[0, train] += 1
        holders[1, test] += 1
    of_all = np.concatenate([holders[0], holders[1, :200]])
    assert set(of_all.tolist()) == {1, len(parties)}
    assert (of_all == len(parties)).sum() == 320  # 0.4 of 800
    sizes = [len(train) + len(test) for train, test in people.values()]
    assert sum(sizes) == 320 * len(parties) + 480 and max(sizes) - min(sizes) <= 1


def test_people_are_drawn_by_id_and_seed_and_not_by_row() -> None:
    def names(table: ColumnTable, seed: int) -> tuple[set[str], set[str]]:
        train, test = given(overlap=0.5).people(table, ["guest", "host"], seed)["guest"]
        return set(table.train_ids[train].tolist()), set(table.test_ids[test].tolist())

    order = np.random.default_rng(0).permutation(600)
    shuffled = replace(TABLE, train=TABLE.train[order], train_ids=TABLE.train_ids[order])
    assert names(TABLE, 3) == names(shuffled, 3)
    assert names(TABLE, 3) != names(TABLE, 4)


def test_a_person_in_both_sets_is_drawn_once() -> None:
    ids = TABLE.train_ids[:200]
    table = replace(TABLE, test_ids=ids)
    for train, test in given(overlap=0.3).people(table, ["guest", "host"], 0).values():
        assert set(table.train_ids[train].tolist()) & set(ids.tolist()) == set(table.test_ids[test].tolist())


def test_nobody_in_common_is_refused() -> None:
    with pytest.raises(InputError, match=r"columns.overlap=0.001 of 800 people leaves no (training|test) row that all"):
        given(overlap=0.001).people(TABLE, ["guest", "host"], 0)
    with pytest.raises(InputError, match="leaves no training row"):
        given(overlap=0.0001).people(TABLE, ["guest", "host"], 0)
