"""objective=: which number of a run a sweeper optimises, and in which direction."""

from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.sweeps.objective import Objective, objective

ROWS = [
    {"round": 1, "global/test/accuracy": 0.5, "global/validation/accuracy": 0.7, "global/test/loss": 2.0},
    {"round": 2, "global/test/accuracy": 0.9, "global/validation/accuracy": 0.4, "global/test/loss": math.nan},
    {"round": 3, "global/test/accuracy": 0.6, "global/validation/accuracy": 0.6, "global/test/loss": 1.0},
]


def config(name: str, **evaluation: list[str]):
    return OmegaConf.create({"objective": name, "evaluation": evaluation})


def test_accuracy_is_that_of_validation_data_where_there_is_any() -> None:
    chosen = objective(config("accuracy"), "maximize")
    assert chosen.value(ROWS) == 0.7 and not chosen.is_of_test_data(ROWS)
    without = [{name: value for name, value in row.items() if "validation" not in name} for row in ROWS]
    assert chosen.value(without) == 0.9 and chosen.is_of_test_data(without)


def test_a_value_that_is_not_finite_is_no_result() -> None:
    assert objective(config("loss"), "minimize").value(ROWS) == 1.0
    assert objective(config("loss"), "minimize").value(ROWS[1:2]) is None
    assert objective(config("loss"), "minimize").value([]) is None


def test_models_of_the_clients_come_first_where_some_are_personal() -> None:
    used, personal = "clients/used/validation_accuracy/weighted", "clients/personal/validation_accuracy/weighted"
    rows = [{**ROWS[0], used: 0.2, personal: 0.2}, {**ROWS[1], used: 0.3, personal: 0.3}]
    assert objective(config("accuracy"), "maximize").value(rows) == 0.3


def test_any_metric_of_a_row_may_be_named() -> None:
    assert objective(config("global/test/accuracy"), "maximize").value(ROWS) == 0.9
    assert objective(config("my_number"), "minimize").value([{"round": 1, "my_number": 3.0}]) == 3.0
    assert objective(config("my_number"), None) == Objective("my_number", "higher")


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("accuracy", "minimize", "maximize"),
        ("loss", "maximize", "minimize"),
        ("clients/used/loss/weighted", "maximize", "minimize"),
        ("global/validation/f1", "minimize", "maximize"),
        ("comm/bytes_up", "maximize", "minimize"),
    ],
)
def test_the_wrong_direction_is_refused(name: str, wrong: str, right: str) -> None:
    with pytest.raises(
        InputError, match=f"^hydra.sweeper.direction={wrong}: .*write hydra.sweeper.direction={right}.$"
    ):
        objective(config(name), wrong)
    objective(config(name), right)


def test_a_direction_of_the_users_is_taken() -> None:
    mine = config("global/test/happiness", higher_is_better=["happiness"])
    assert objective(mine, "maximize").better == "higher"
    with pytest.raises(InputError, match="higher is better of objective=global/test/happiness"):
        objective(mine, "minimize")
    assert objective(config("global/test/happiness"), "minimize").better == "lower"


def test_several_objectives_are_refused() -> None:
    with pytest.raises(InputError, match="a sweep of fedlit has one objective; write maximize or minimize"):
        objective(config("accuracy"), ["maximize", "minimize"])
