"""The metric that is shown, and the one that chooses the best round: of the models that the run is about."""

from __future__ import annotations

import math

import pytest

from fedlit.evaluation.headline import choosing_metric, headline

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
