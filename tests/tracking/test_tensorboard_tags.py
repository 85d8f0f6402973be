"""Which numbers TensorBoard gets, and in which order its groups stand."""

from __future__ import annotations

import math

import pytest

from fedlit.tracking.tensorboard_tags import tag, without_equal

COUNTS = {"clients/used/evaluated": 40, "clients/global/evaluated": 40, "clients/received/evaluated": 40}


def groups(*names: str) -> list[str]:
    """The groups in the order in which TensorBoard sorts them."""
    return sorted({tag(name).split("/")[0] for name in names})


def test_the_global_model_stands_before_the_models_on_clients_and_the_counts() -> None:
    names = ("clients/used/loss/mean", "clients/global/loss/mean", "cohort/asked", "comm/bytes_up", "global/test/loss")
    assert groups(*names, "train/loss", "time/fit")[0] == "global"
    assert len({tag(name) for name in names}) == len(names)


def test_the_models_that_are_used_are_written_once() -> None:
    row = {"global/test/loss": 1.0, "clients/global/loss/mean": 1.0, "clients/used/loss/mean": 1.0}
    assert without_equal(row) == {"global/test/loss": 1.0, "clients/used/loss/mean": 1.0}
    personal = {"clients/personal/loss/mean": 1.0, "clients/used/loss/mean": 1.0, "clients/global/loss/mean": 1.0}
    assert without_equal(personal) == {"clients/used/loss/mean": 1.0, "clients/global/loss/mean": 1.0}


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_nothing_is_left_out_that_no_other_card_shows(value: float) -> None:
    row = {"clients/global/loss/mean": value, "clients/used/loss/mean": 1.0, "clients/global/loss/worst": 2.0}
    assert without_equal(row) == row


def test_numbers_that_are_not_finite_are_equal_as_well() -> None:
    row = {"clients/global/loss/mean": math.nan, "clients/used/loss/mean": math.nan}
    assert list(without_equal(row)) == ["clients/used/loss/mean"]


@pytest.mark.parametrize(("clients", "is_written"), [(1, False), (19, False), (20, True), (40, True)])
def test_the_worst_tenth_of_few_clients_is_the_worst_client(clients: int, is_written: bool) -> None:
    row = {f"clients/used/loss/{name}": 2.0 for name in ("worst", "worst_decile")} | {"clients/used/evaluated": clients}
    assert ("clients/used/loss/worst_decile" in without_equal(row)) == is_written
