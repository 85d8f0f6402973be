"""The metric that is shown, and the one that chooses the best round: of the models that the run is about."""

from __future__ import annotations

import math

import pytest

from fedlit.evaluation.headline import best_row, choosing_metric, headline

GLOBAL = {"global/test/accuracy": 0.5, "global/test/loss": 1.0}
USED = {"clients/used/accuracy/weighted": 0.6, "clients/used/loss/weighted": 0.9}
PERSONAL = {"clients/personal/accuracy/weighted": 0.6, "clients/personal/loss/weighted": 0.9}
RECEIVED = {"clients/received/accuracy/weighted": 0.5}


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (GLOBAL | USED | RECEIVED, "global/test/accuracy"),
        (GLOBAL | USED | PERSONAL | RECEIVED, "clients/used/accuracy/weighted"),
        (USED | PERSONAL | RECEIVED, "clients/used/accuracy/weighted"),
        (
            {"global/test/loss": 1.0, "clients/used/loss/weighted": 0.9, "clients/personal/loss/mean": 0.9},
            "clients/used/loss/weighted",
        ),
        ({"clients/used/accuracy/weighted": math.nan} | PERSONAL | GLOBAL, "global/test/accuracy"),
        (RECEIVED, "clients/received/accuracy/weighted"),
        ({"train/loss": 1.0}, None),
    ],
)
def test_the_models_that_clients_use_are_shown_where_they_are_personal(
    row: dict[str, float], shown: str | None
) -> None:
    assert headline(row) == shown
    assert choosing_metric([row]) == (shown and (shown, "test"))


def test_validation_of_the_models_that_clients_use_chooses_where_they_are_personal() -> None:
    row = {"global/validation/accuracy": 0.5, "clients/used/validation_accuracy/weighted": 0.6} | GLOBAL | USED
    assert choosing_metric([row]) == ("global/validation/accuracy", "validation")
    chosen = choosing_metric([GLOBAL, row | PERSONAL])
    assert chosen == ("clients/used/validation_accuracy/weighted", "validation")


def test_of_parties_the_guests_first_measure_is_shown_and_chooses_the_best_round():
    rows = [
        {"round": 1, "global/test/auc": 0.7, "global/test/accuracy": 0.9, "comm/bytes": 3},
        {"round": 2, "global/test/auc": 0.8, "global/test/accuracy": 0.8, "comm/bytes": 3},
    ]
    assert headline(rows[0]) == "global/test/auc"
    assert choosing_metric(rows) == ("global/test/auc", "test")
    assert best_row(rows, "global/test/auc")["round"] == 2
    assert choosing_metric(rows, ["accuracy"]) == ("global/test/accuracy", "test")
    assert headline({"global/test/auc": 0.7, "global/test/accuracy": 0.9}) == "global/test/accuracy"  # of clients


def test_of_parties_less_of_an_error_is_better_and_an_unknown_measure_chooses_nothing():
    rows = [{"round": n, "global/test/mse": value, "comm/bytes": 3} for n, value in ((1, 3.0), (2, 1.0), (3, 2.0))]
    assert best_row(rows, str(headline(rows[0])))["round"] == 2
    assert choosing_metric([{"round": 1, "global/test/temperature": 3.0, "comm/bytes": 3}]) is None
    assert headline({"round": 1, "comm/bytes": 3}) is None
