"""Options of SecureBoost: what they do, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.samples import parties
from tests.vertical.secureboost.stepped import PLAIN, SMALL_KEY, run, tables

COLUMNS = {"guest": ["a"], "host": ["b"]}


class Inexact(Cipher):
    name = "inexact"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"depth": 0}, "protocol.depth=0 is out of range; write a whole number from 1 to 10."),
        ({"depth": 11}, "from 1 to 10"),
        ({"depth": 2.5}, "protocol.depth=2.5"),
        ({"bins": 1}, "write a whole number from 2"),
        ({"guest_first": -1}, "write a whole number from 0."),
        ({"known_labels": True}, "protocol.known_labels=True"),
        ({"lr": 0}, "protocol.lr=0 is out of range; write a number above 0."),
        ({"l2": -1.0}, "write 0 or a number above it."),
        ({"min_gain": float("nan")}, "protocol.min_gain=nan"),
        ({"min_child_weight": "1"}, "protocol.min_child_weight='1'"),
        ({"missing_party": "mean"}, "protocol.missing_party='mean' is not known; write refuse or guest."),
        ({"leak": "nodes"}, "protocol.leak='nodes' is not known; write instance_space or null."),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected.replace("(", r"\(").rstrip(".")):
        SecureBoost(**options).check("binary", COLUMNS, PLAIN)


def test_values_have_no_labels_to_guess() -> None:
    with pytest.raises(InputError, match="protocol.leak=instance_space guesses classes"):
        SecureBoost(leak="instance_space").check("regression", COLUMNS, PLAIN)


def test_labels_have_to_be_left_to_guess() -> None:
    with pytest.raises(InputError, match="protocol.known_labels=133 leaves no label to guess among 133 people"):
        run(SecureBoost(leak="instance_space", known_labels=133), parties(), 0)


@pytest.mark.parametrize("constant", ["guest", "host"])
def test_a_party_without_a_split_to_offer_changes_nothing(constant: str) -> None:
    """A guest with labels alone, or a host with columns of one value or none."""
    table = np.random.default_rng(0).integers(0, 9, (60, 3)).astype(np.float64)
    target = (table[:, 0] > 3).astype(np.float64)
    table[:, 1], table[:, 2] = 4, np.nan
    split: dict[str, tuple[int, ...]] = (
        {"guest": (), "host": (0, 1)} if constant == "guest" else {"guest": (0,), "host": (1, 2)}
    )
    result = run(SecureBoost(depth=2), tables(table, table, target, target, split), 2, SMALL_KEY)
    assert result.rows[-1]["test"]["auc"] == 1
    assert result.rows[-1]["guest"][f"importance/{constant}/count"] == 0


def test_a_cipher_of_real_numbers_is_refused() -> None:
    with pytest.raises(InputError, match="cipher=inexact is not exact, .* write cipher=paillier"):
        SecureBoost().check("binary", COLUMNS, Inexact())


def test_defaults_are_allowed() -> None:
    for task in ("binary", "regression"):
        SecureBoost().check(task, COLUMNS, PLAIN)  # type: ignore[arg-type]


def test_first_trees_of_the_guest_alone_need_no_message() -> None:
    result = run(SecureBoost(depth=3, guest_first=2), parties(), 3)
    alone = run(SecureBoost(depth=3), {"guest": parties()["guest"]}, 2)
    trees = result.states["guest"]["joint"]["trees"]
    assert len(result.messages("guest", "gradients")) == 2  # of round 3, to two hosts
    assert trees["leaf"][:2].equal(alone.states["guest"]["joint"]["trees"]["leaf"])
    assert (trees["party"][2] > 0).any() and not (trees["party"][:2] > 0).any()


def test_a_split_has_to_gain_more_than_the_least_gain() -> None:
    weak, strong = (run(SecureBoost(depth=4, min_gain=gain), parties(), 2) for gain in (0.0, 3.0))
    trees = strong.states["guest"]["joint"]["trees"]
    gains = trees["gain"][trees["party"] >= 0]
    assert (gains > 3).all() and len(gains) > 1
    assert len(gains) < int((weak.states["guest"]["joint"]["trees"]["party"] >= 0).sum())


def test_a_side_has_the_least_weight() -> None:
    data = parties(300, missing=0)
    result = run(SecureBoost(depth=1, min_child_weight=20.0), data, 1)
    sizes = result.states["guest"]["joint"]["margin"].unique(return_counts=True)[1]
    assert len(sizes) == 2 and sizes.min() * 0.25 >= 20
    assert len(run(SecureBoost(min_child_weight=1e6), data, 1).states["guest"]["joint"]["margin"].unique()) == 1


def test_gains_and_counts_by_party_and_column() -> None:
    result = run(SecureBoost(depth=3), parties(), 3)
    guest, trees = result.states["guest"], result.states["guest"]["joint"]["trees"]
    facts = result.rows[-1]["guest"]
    assert guest["importance"]["column"] == ["c0", "c1"]
    assert facts["importance/guest/gain"] == pytest.approx(float(guest["importance"]["gain"].sum()))
    assert facts["importance/guest/count"] == int(guest["importance"]["count"].sum())
    assert sum(facts[f"importance/{p}/gain"] for p in ("guest", "host", "bank")) == pytest.approx(
        float(trees["gain"].sum())
    )
    for party, number in (("host", 1), ("bank", 2)):
        records = result.states[party]["records"]
        assert (
            facts[f"importance/{party}/count"] == int(records["count"].sum()) == int((trees["party"] == number).sum())
        )
        assert records["people"].sum() >= records["count"].sum() and len(records["column"]) == 2
