"""What the guest measures: scikit-learn's numbers against sums written out."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from fedlit import notices
from fedlit.vertical.measures import MEASURES, measures

TARGET = np.array([0.0, 1, 1, 0, 1])
MARGIN = np.array([-1.0, 2.0, -0.5, -0.5, 0.25])


def test_binary_measures_are_those_of_their_definitions() -> None:
    result = measures("binary", TARGET, MARGIN)
    assert tuple(result) == MEASURES["binary"] == ("auc", "log_loss", "accuracy")
    pairs = [
        (p, n) for p, y in zip(MARGIN, TARGET, strict=True) if y for n, z in zip(MARGIN, TARGET, strict=True) if not z
    ]
    assert result["auc"] == pytest.approx(sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs))
    losses = [math.log1p(math.exp(-m if y else m)) for m, y in zip(MARGIN, TARGET, strict=True)]
    assert result["log_loss"] == pytest.approx(sum(losses) / 5)
    assert result["accuracy"] == 4 / 5


def test_large_margins_remain_apart() -> None:
    assert measures("binary", np.array([0.0, 1]), np.array([50.0, 60.0]))["auc"] == 1


def test_a_margin_of_0_is_class_0() -> None:
    assert measures("binary", np.array([0.0, 1]), np.array([0.0, 0.0]))["accuracy"] == 0.5


def test_regression_measures_are_those_of_their_definitions() -> None:
    target, prediction = np.array([1.0, 2, 4]), np.array([1.5, 2, 3])
    result = measures("regression", target, prediction)
    assert tuple(result) == MEASURES["regression"] == ("r2", "mse")
    assert result["mse"] == pytest.approx(1.25 / 3)
    assert result["r2"] == pytest.approx(1 - 1.25 / sum((t - 7 / 3) ** 2 for t in (1, 2, 4)))


@pytest.mark.parametrize("target", [[1.0, 1], [0.0, 0]])
def test_one_class_alone_has_no_auc_and_one_warning(target: list[float], caplog: pytest.LogCaptureFixture) -> None:
    notices.begin_run()
    with caplog.at_level(logging.WARNING):
        results = [measures("binary", np.array(target), np.array([-1.0, 3])) for _ in range(3)]
    assert list(results[2]) == ["log_loss", "accuracy"] and math.isfinite(results[2]["log_loss"])
    assert caplog.messages == [
        "the test set has people of one class alone, so auc is not measured; take a larger test set."
    ]


def test_one_person_has_no_r2() -> None:
    assert measures("regression", np.array([2.0]), np.array([3.0])) == {"mse": 1.0}


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_makes_every_measure_nan(task: str, value: float) -> None:
    result = measures(task, np.array([0.0, 1]), np.array([0.5, value]))  # type: ignore[arg-type]
    assert tuple(result) == MEASURES[task] and all(math.isnan(number) for number in result.values())  # type: ignore[index]
