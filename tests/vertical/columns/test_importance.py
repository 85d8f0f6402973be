"""columns=importance: mutual information in a case that can be computed, and shares of its sum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.vertical.columns import Importance, importances, unevenness
from tests.vertical.columns.tables import table_with

ROWS = 400


def coins(*agreeing: int) -> ColumnTable:
    """Columns of 0 and 1 that agree with the target in this number of the 400 rows, half of each class."""
    target = np.arange(ROWS) % 2.0
    columns = []
    for agree in agreeing:
        column = target.copy()
        column[: ROWS - agree] = 1 - column[: ROWS - agree]
        columns.append(column)
    values = np.stack(columns, axis=1)
    names = [f"c{number}" for number in range(len(agreeing))]
    return table_with(names, rows=ROWS, train=values, test=values[:20], train_target=target)


def information(agree: int) -> float:
    """Of two fair coins that agree in this number of rows: log 2 less the binary entropy."""
    p = agree / ROWS
    return math.log(2) + sum(q * math.log(q) for q in (p, 1 - p) if q)


AGREEING = (400, 380, 360, 340, 300, 280, 260)


def test_the_importance_of_a_coin_is_its_mutual_information() -> None:
    for (name, value), agree in zip(importances(coins(*AGREEING)).items(), AGREEING, strict=True):
        assert value == pytest.approx(information(agree), abs=1e-9), name


def test_missing_values_are_a_value_of_their_own() -> None:
    table = coins(400, 200)
    table.train[table.train[:, 0] == 1, 0] = np.nan  # missing says as much as 1 did
    assert importances(table)["c0"] == pytest.approx(math.log(2), abs=1e-9)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_column_that_decides_is_above_one_of_noise(task: Any) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 3))
    values[::7, 1] = np.nan
    target = (values[:, 0] > 0).astype(float) if task == "binary" else values[:, 0] * 3
    table = table_with(["says", "gaps", "noise"], rows=500, train=values, train_target=target, task=task)
    importance = importances(table)
    assert importance["says"] > 0.5 and max(importance["gaps"], importance["noise"]) < 0.1
    assert importances(table) == importance


def sums(table: ColumnTable, shares: dict[str, tuple[str, ...]]) -> dict[str, float]:
    known = {f"c{number}": information(agree) for number, agree in enumerate(AGREEING)}
    return {party: sum(known[name] for name in names) / sum(known.values()) for party, names in shares.items()}


def test_equal_shares_deal_the_columns_out_from_the_largest() -> None:
    table = coins(*AGREEING)
    shares = Importance().share(table, 0)
    # in nats .693, .495, .368, .270, .131, .082, .046; sums of the two:
    # .693 0 | .693 .495 | .693 .863 | .963 .863 | .963 .994 | 1.046 .994 | 1.046 1.039
    assert shares == {"guest": ("c0", "c3", "c5"), "host": ("c1", "c2", "c4", "c6")}
    assert unevenness(table, shares) == pytest.approx(sums(table, shares), abs=1e-9)


def test_uneven_shares_are_kept_as_near_as_columns_allow() -> None:
    table = coins(*AGREEING)
    shares = Importance(parties=["guest", "bank", "shop"], shares=[1, 1, 2]).share(table, 0)
    # c0 to guest, c1 to bank; shop's sum is halved: .184 .319 .385 .426 .449, which stays below bank's .495
    assert shares == {"guest": ("c0",), "bank": ("c1",), "shop": ("c2", "c3", "c4", "c5", "c6")}


def test_a_guest_with_a_share_of_0_has_the_target_alone() -> None:
    shares = Importance(shares=[0, 1]).share(coins(*AGREEING), 0)
    assert shares["guest"] == () and len(shares["host"]) == 7


def test_columns_of_no_importance_are_dealt_out_evenly() -> None:
    table = coins(200, 200, 200, 200)
    shares = Importance().share(table, 0)
    assert [len(names) for names in shares.values()] == [2, 2]
    assert unevenness(table, shares) == {"guest": 0.5, "host": 0.5}


def test_the_seed_does_not_matter() -> None:
    table = coins(*AGREEING)
    assert Importance().share(table, 0) == Importance().share(table, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parties": ["guest", "host", "host"]}, "columns.parties names host twice; name each party once"),
        ({"parties": ["guest"]}, "has the guest alone"),
        ({"parties": ["host", "bank"]}, "has no guest among host, bank"),
        ({"shares": [1, 2, 3]}, "columns.shares has 3 shares for 2 parties"),
        ({"shares": [1, 0]}, "columns.shares gives host 0; write a number above 0"),
        ({"shares": [-1, 1]}, "columns.shares gives guest -1; write a number at least 0"),
        ({"parties": ["guest", *"abcdefg"]}, "8 parties share 7 columns of small; name fewer parties"),
    ],
)
def test_shares_that_are_none_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Importance(**options).share(coins(*AGREEING), 0)
