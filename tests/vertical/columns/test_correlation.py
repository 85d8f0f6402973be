"""columns=correlation: groups of copies go to one party, or are split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.columns import Correlation
from fedlit.vertical.columns.correlation import absolute_correlations
from tests.vertical.columns.tables import table_with

RNG = np.random.default_rng(7)
SOURCES = RNG.normal(size=(300, 3))
NAMES = ("a0", "b0", "c0", "b1", "a1", "c1", "c2", "a2", "b2")  # the letter is the group
VALUES = np.stack([SOURCES[:, "abc".index(n[0])] * (-1) ** int(n[1]) + RNG.normal(size=300) / 9 for n in NAMES], axis=1)
TABLE = table_with(NAMES, rows=300, train=VALUES)
PARTIES = ["guest", "bank", "shop"]


def test_correlated_columns_are_together() -> None:
    shares = Correlation(parties=PARTIES).share(TABLE, 0)
    groups = {tuple(sorted({name[0] for name in names})) for names in shares.values()}
    assert groups == {("a",), ("b",), ("c",)}
    assert [len(names) for names in shares.values()] == [3, 3, 3]


def test_the_first_column_is_with_the_first_of_two_parties() -> None:
    for start in range(9):
        table = table_with([*NAMES[start:], *NAMES[:start]], rows=300, train=np.roll(VALUES, -start, axis=1))
        assert table.columns[0] in Correlation().share(table, 0)["guest"]


def test_correlated_columns_are_apart() -> None:
    shares = Correlation(parties=PARTIES, correlated="apart").share(TABLE, 0)
    for names in shares.values():
        assert {name[0] for name in names} == {"a", "b", "c"}


def test_numbers_of_columns_differ_by_one_at_most() -> None:
    for correlated in ("together", "apart"):
        shares = Correlation(correlated=correlated).share(TABLE, 0)  # type: ignore[arg-type]
        assert sorted(len(names) for names in shares.values()) == [4, 5]


def test_correlations_are_pearsons_with_missing_values_at_the_mean() -> None:
    values = np.array([[1.0, 2, 5, 1], [2, np.nan, 5, 0], [4, 6, 5, 1], [9, 1, 5, 3]])
    filled = values.copy()
    filled[1, 1] = 3.0
    centred = filled - filled.mean(0)
    expected = np.eye(4)
    for i, j in [(0, 1), (0, 3), (1, 3)]:  # column 2 is constant
        product = abs((centred[:, i] * centred[:, j]).sum())
        expected[i, j] = expected[j, i] = product / ((centred[:, i] ** 2).sum() * (centred[:, j] ** 2).sum()) ** 0.5
    np.testing.assert_allclose(absolute_correlations(values), expected, atol=1e-12)


def test_two_columns_need_no_order() -> None:
    table = table_with(["a", "b"])
    assert Correlation().share(table, 0) == {"guest": ("a",), "host": ("b",)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parties": ["guest", "guest"]}, "names guest twice"),
        ({"parties": ["host"]}, "no guest among host"),
        ({"correlated": "much"}, "columns.correlated=much; write together or apart"),
        ({"parties": ["guest", *"abcdefghi"]}, "10 parties share 9 columns"),
    ],
)
def test_what_is_no_division_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Correlation(**options).share(TABLE, 0)
