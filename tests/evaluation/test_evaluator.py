"""The warning about an evaluation without metrics, and the choice of the best round."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedlit.aggregators import FedAvg
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import Evaluator
from fedlit.evaluation.measure import Measured
from tests.small_runs import go, small


class Silent:
    """A module of which nothing can be measured."""


class Host(SimpleNamespace):
    def measure(self, model, counters, samples, split, parts, clients, confusion=None):
        return Measured([self.totals] * len(parts))


def new_evaluator() -> Evaluator:
    data: Any = SimpleNamespace(test=range(4), classes=2)
    return Evaluator(Evaluation(), data, rounds=3, seed=0)


def evaluate(evaluator, totals, number=1):
    parts = [np.arange(2)] * 3
    clients = SimpleNamespace(test=parts, validation=parts, pooled=False)
    federation: Any = SimpleNamespace(
        aggregator=FedAvg(),
        clients=clients,
        seed=0,
        round=lambda number, cohort, purpose: None,
        downloads=lambda state, round: {},
    )
    data = SimpleNamespace(train=range(4), test=range(4))
    measuring = SimpleNamespace(is_sum_of_parts=lambda subject: False)
    host = Host(
        module=Silent(),
        data=data,
        totals=totals,
        subject=SimpleNamespace(higher_is_better={}),
        measuring=measuring,
    )
    engine: Any = SimpleNamespace(local_worker=SimpleNamespace(host=host))
    state: Any = SimpleNamespace(server={"model": object()}, counters={})
    return evaluator(federation, state, engine, number)


def test_one_warning_names_a_module_of_which_nothing_can_be_measured(caplog):
    evaluator = new_evaluator()
    for number in (1, 2):
        evaluated = evaluate(evaluator, {}, number)
        assert (evaluated.row, evaluated.pictures) == ({}, {})
    [message] = caplog.messages
    assert message.startswith("Silent: nothing can be measured") and "test_step" in message


def test_no_warning_for_a_module_that_can_be_measured(caplog):
    row = evaluate(new_evaluator(), {"loss": (2.0, 2.0)}).row
    assert row["global/test/loss"] == row["global/validation/loss"] == 1.0
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [
        ("global/validation/accuracy", [0.5, 0.9, 0.9], 2),
        ("clients/used/validation_accuracy/weighted", [0.5, 0.4, 0.6], 3),
        ("clients/used/validation_loss/weighted", [math.nan, 1.0, 2.0], 2),
        ("global/validation/loss", [math.nan, math.nan, math.nan], None),
        ("global/test/accuracy", [0.5, 0.9, 0.9], None),
    ],
)
def test_the_best_round_is_chosen_by_validation(name, values, best):
    state: Any = SimpleNamespace(best=None, round=0)
    for number, value in enumerate(values, 1):
        state.round = number
        new_evaluator().note_if_best(state, {name: value})
    assert (state.best and state.best["round"]) == best


def test_no_client_is_measured_and_validation_samples_are_kept_all_the_same(tmp_path: Path) -> None:
    changes = {"clients": 3, "evaluation.clients": 0, "evaluation.client_validation": 0.2, "model.hidden": [4]}
    (row,) = go(small(("logger=none",), changes), tmp_path / "run")
    assert row["global/test/loss"] > 0
    assert not [name for name in row if name.startswith(("clients/", "global/validation"))]
