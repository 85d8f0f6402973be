"""Prediction as a protocol; missing values, and missing parties."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.secureboost import SecureBoost
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import Split
from tests.vertical.secureboost.samples import columns, parties
from tests.vertical.secureboost.stepped import PLAIN, Run, run, tables

COLUMNS = {"guest": ["a"], "host": ["b"], "bank": ["c"]}


def test_training_people_get_the_margins_that_they_were_trained_with() -> None:
    """As test people they go down by questions to the hosts."""
    table, target = columns(150)
    split = {"guest": (0, 1), "host": (2, 3), "bank": (4, 5)}
    model = run(SecureBoost(depth=4), tables(table, table, target, target, split), 3).states["guest"]["joint"]
    assert model["test_margin"].tolist() == model["margin"].tolist()


def test_each_host_is_asked_once_a_level() -> None:
    result = run(SecureBoost(depth=3), parties(), 1)
    asked = [send.to for party, send in result.sent if party == "guest" and send.name == "ask"]
    assert asked == ["host", "bank"] * 3


def test_people_at_the_splits_of_a_host_alone_are_asked_about() -> None:
    result = run(SecureBoost(depth=3), parties(), 1)
    trees = result.states["guest"]["joint"]["trees"]
    first = result.messages("guest", "ask")
    at_root = len(result.parties["guest"].test_target)  # type: ignore[attr-defined]
    assert [len(ask["row"]) for ask in first[:2]] == [at_root * int(trees["party"][0, 0] == p) for p in (1, 2)]


def test_missing_values_go_where_training_gains_more() -> None:
    """People without a value of the host's column have the class of its large values, or of its small ones."""
    values = np.tile([1.0, 2.0, 8.0, 9.0, np.nan], 30)
    table = np.stack([np.zeros(150), values], 1)
    for low_class in (0.0, 1.0):
        for missing_class in (0.0, 1.0):
            target = np.where(np.isnan(values), missing_class, np.where(values < 5, low_class, 1 - low_class))
            result = run(SecureBoost(depth=1), tables(table, table, target, target, {"guest": (0,), "host": (1,)}), 1)
            records = result.states["host"]["records"]
            assert records["threshold"].tolist() == [2.0]
            assert records["missing_left"].tolist() == [missing_class == low_class]
            assert result.rows[0]["test"]["accuracy"] == 1


def test_missing_values_can_be_a_side() -> None:
    values = np.tile([1.0, 2.0, np.nan], 30)
    target = np.isnan(values).astype(float)
    for split in ({"guest": (0,), "host": (1,)}, {"guest": (0, 1)}):
        table = np.stack([np.zeros(90), values], 1)
        result = run(SecureBoost(depth=2), tables(table, table, target, target, split), 1)
        assert result.rows[0]["test"]["auc"] == 1


def test_a_value_that_is_missing_at_prediction_alone_goes_to_the_larger_side() -> None:
    values = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    split_at = [Split.of(BinnedColumns.of(values, 8), np.arange(5), np.array([0, last, 0])) for last in range(4)]
    sides = [split.left(np.array([[np.nan]])).tolist() for split in split_at]
    assert sides == [[False], [False], [True], [True]]


class TestMissingParty:
    def absent(self, *parties_: str, **options: object) -> Run:
        return run(SecureBoost(depth=3, absent=parties_, **options), parties(), 3)  # type: ignore[arg-type]

    def test_the_guest_predicts_by_a_model_of_its_own(self) -> None:
        """Bit by bit the one of a guest that trains alone; the joint model is trained as ever."""
        result = self.absent("host", missing_party="guest")
        alone = run(SecureBoost(depth=3), {"guest": parties()["guest"]}, 3)
        joint = run(SecureBoost(depth=3), parties(), 3)
        assert [row["test"] for row in result.rows] == [row["test"] for row in alone.rows]
        assert result.states["guest"]["joint"]["margin"].equal(joint.states["guest"]["joint"]["margin"])
        assert not result.messages("guest", "ask")

    def test_the_model_of_its_own_changes_nothing_while_all_are_present(self) -> None:
        with_model, without = (run(SecureBoost(missing_party=p), parties(), 2) for p in ("guest", "refuse"))  # type: ignore[arg-type]
        alone = run(SecureBoost(), {"guest": parties()["guest"]}, 2)
        for row, other, alone_row in zip(with_model.rows, without.rows, alone.rows, strict=True):
            assert row["test"] == other["test"] | {f"alone/{name}": value for name, value in alone_row["test"].items()}
        assert [send.name for _, send in with_model.sent] == [send.name for _, send in without.sent]

    def test_it_is_refused_else(self) -> None:
        expected = r"protocol.absent=\[host\] has no answer .* write protocol.missing_party=guest to predict by"
        with pytest.raises(InputError, match=expected):
            SecureBoost(absent=["host"]).check("binary", COLUMNS, PLAIN)
        SecureBoost(absent=["host"], missing_party="guest").check("binary", COLUMNS, PLAIN)

    def test_it_has_to_be_a_host(self) -> None:
        for absent, expected in (["guest"], "absent=guest is not among the hosts .host, bank."), ("host", r"=\[host\]"):
            with pytest.raises(InputError, match=expected):
                SecureBoost(absent=absent, missing_party="guest").check("binary", COLUMNS, PLAIN)


def test_no_message_is_sent_by_a_guest_without_hosts() -> None:
    result = run(SecureBoost(), {"guest": parties()["guest"]}, 2)
    assert result.sent == []
    assert result.rows[-1]["test"]["auc"] > 0.55
