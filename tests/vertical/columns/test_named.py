"""columns=named: names and patterns, with expectations written by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fedlit.data import DataSource
from fedlit.data.digits import digits
from fedlit.errors import InputError
from fedlit.vertical.columns import Named, table_of
from tests.vertical.columns.tables import table_with

NAMES = ("AGE", "PAY_0", "PAY_2", "PAY_AMT1", "pay_3", "JOB=clerk", "JOB=nurse", "x[1]", "x1")
TABLE = table_with(NAMES)


@pytest.mark.parametrize(
    ("parties", "expected"),
    [
        ({"guest": "rest", "host": "PAY_[0-9]"}, {"host": ("PAY_0", "PAY_2")}),
        ({"guest": "rest", "host": "PAY_*"}, {"host": ("PAY_0", "PAY_2", "PAY_AMT1")}),
        ({"guest": "rest", "host": "pay*"}, {"host": ("pay_3",)}),
        ({"guest": "rest", "host": "PAY_?"}, {"host": ("PAY_0", "PAY_2")}),
        ({"guest": "rest", "host": ["pay_3", "AGE"]}, {"host": ("AGE", "pay_3")}),  # the order of the table
        ({"guest": "rest", "host": "x[1]"}, {"host": ("x[1]",)}),  # a name goes before a pattern
        ({"guest": "rest", "host": "x[!2]"}, {"host": ("x1",)}),
        ({"guest": "rest", "host": ["AGE", "A*"]}, {"host": ("AGE",)}),
        ({"host": "JOB=*", "guest": ["AGE", "rest"]}, {"host": ("JOB=clerk", "JOB=nurse")}),
        (
            {"guest": "rest", "shop": "AGE", "bank_2": "PAY*"},
            {"shop": ("AGE",), "bank_2": ("PAY_0", "PAY_2", "PAY_AMT1")},
        ),
        ({"guest": None, "host": "rest"}, {"host": NAMES}),
        ({"guest": [], "host": "*"}, {"host": NAMES}),
        ({"guest": "rest", "host": "*"}, {"host": NAMES}),
    ],
)
def test_names_and_patterns(parties: dict[str, Any], expected: dict[str, tuple[str, ...]]) -> None:
    shares = Named(parties=parties).share(TABLE, 0)
    assert list(shares) == list(parties)
    hosts = {name for names in expected.values() for name in names}
    assert shares == {**expected, "guest": tuple(name for name in NAMES if name not in hosts)}


@pytest.mark.parametrize(
    ("parties", "message"),
    [
        ({"guest": "*", "host": "PAY_0"}, "PAY_0 goes to guest and to host; each column has one party"),
        (
            {"guest": "AGE", "host": "P*"},
            "no party has pay_3, JOB=clerk, JOB=nurse, x.1., x1; write rest for one party",
        ),
        (
            {"guest": "rest", "host": "PAY_AMT7"},
            "columns.parties.host=PAY_AMT7 fits no column of small; the closest name is PAY_AMT1",
        ),
        ({"guest": "rest", "host": "Pay_*"}, "columns.parties.host=Pay_.* fits no column of small"),
        ({"guest": "rest", "host": "JOB"}, "its categories are columns: write 'JOB=.'"),
        (
            {"guest": "rest", "host": "zzzz"},
            "fits no column of small; there are AGE, PAY_0, PAY_2, PAY_AMT1, pay_3 and 4 more",
        ),
        ({"guest": "rest"}, "columns.parties has the guest alone; add a host"),
        ({"host": "rest"}, "columns.parties has no guest among host; add guest, the party that holds the target"),
        ({"Guest": "AGE", "host": "rest"}, "no guest among Guest, host; write guest for Guest"),
        ({}, "no guest among no parties"),
        ({"guest": "rest", "host": []}, "host has no column, because its list is empty; leave host out"),
        ({"guest": "*", "host": "rest"}, "host has no column, because no other column is left for rest"),
        ({"guest": "rest", "host": "rest"}, "guest and host have rest; write it for one party"),
        ({"guest": "rest", "my host": "AGE"}, "'my host' is no name of a party"),
        ({"guest": "rest", "host": 0.5}, "columns.parties.host=0.5 is no name or pattern"),
        (None, "columns=named: small names no division of its columns among parties; write for example"),
    ],
)
def test_a_division_that_is_none_is_refused(parties: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Named(parties=parties).share(TABLE, 0)


def test_the_data_may_name_the_division() -> None:
    table = table_with(NAMES, parties={"guest": "rest", "host": "PAY_[0-9]"})
    assert Named().share(table, 0)["host"] == ("PAY_0", "PAY_2")
    assert Named(parties={"guest": "rest", "host": "AGE"}).share(table, 0)["host"] == ("AGE",)


def test_a_table_without_names_has_numbers() -> None:
    table = table_with(["0", "1", "2"])
    assert Named(parties={"guest": 0, "host": [1, 2]}).share(table, 0) == {"guest": ("0",), "host": ("1", "2")}


def test_data_without_columns_are_refused() -> None:
    with pytest.raises(InputError, match="protocol=secureboost: digits has no named columns .*; write data=credit"):
        table_of(digits(), "secureboost")


def test_the_columns_of_a_source_are_given() -> None:
    source = digits()
    assert table_of(DataSource("mine", source.train, source.test, columns=TABLE), "linear_he") is TABLE
