from __future__ import annotations

import json
import math

import pytest

from fedlit.tracking.summary import summarise, write


def rows(name, values, **more):
    return [{"round": n, name: value, **more} for n, value in enumerate(values, 1)]


def test_validation_chooses_the_best_round_and_its_test_value_is_reported(tmp_path):
    table = rows("global/validation/accuracy", [0.5, 0.9, 0.7])
    for line, test in zip(table, [0.6, 0.8, 0.95], strict=True):
        line["global/test/accuracy"] = test
        line["clients/used/accuracy/weighted"] = test - 0.5
    best = summarise(table, tmp_path)["best"]
    assert best == {
        "round": 2, "metric": "global/validation/accuracy", "value": 0.9, "chosen_by": "validation", "test": 0.8,
        "used": pytest.approx(0.3),
    }  # fmt: skip


def test_without_validation_data_the_best_round_is_chosen_by_test(tmp_path):
    best = summarise(rows("global/test/accuracy", [0.5, 0.9, 0.9, math.nan], **{"global/test/loss": 1.0}), tmp_path)[
        "best"
    ]
    assert (best["round"], best["metric"], best["chosen_by"]) == (2, "global/test/accuracy", "test")


def test_the_best_loss_is_the_smallest(tmp_path):
    best = summarise(rows("global/test/loss", [3.0, 1.0, 2.0]), tmp_path)["best"]
    assert (best["round"], best["value"], best["test"]) == (2, 1.0, 1.0)


def test_without_a_global_model_personal_models_choose_the_best_round(tmp_path):
    table = rows("clients/used/accuracy/weighted", [0.2, 0.4, 0.3], **{"clients/received/accuracy/weighted": 1.0})
    best = summarise(table, tmp_path)["best"]
    assert (best["round"], best["metric"]) == (2, "clients/used/accuracy/weighted")


def test_a_round_that_was_not_evaluated_is_never_the_best(tmp_path):
    table = [
        {"round": 1, "train/loss": 1.0},
        {"round": 2, "global/test/accuracy": 0.4},
        {"round": 3, "train/loss": 0.5},
    ]
    summary = summarise(table, tmp_path)
    assert summary["best"]["round"] == 2 and summary["last"] == {"round": 3, "train/loss": 0.5}
    assert summarise(table[:1], tmp_path)["best"] is None


def test_seconds_and_lost_and_idle_clients_are_summed_over_rounds(tmp_path):
    table = rows("time/fit", [1.0, 2.0], **{"time/evaluate": 0.25, "cohort/lost": 1, "cohort/idle": 2})
    summary = summarise(table, tmp_path)
    assert (summary["seconds"], summary["lost"], summary["idle"], summary["rounds"]) == (3.5, 2, 4, 2)
    assert summarise(table, tmp_path, seconds=9.0)["seconds"] == 9.0


def test_summary_json_is_replaced_and_has_null_for_infinity(tmp_path):
    write(summarise([], tmp_path), tmp_path)
    write(summarise(rows("train/loss", [math.inf]), tmp_path), tmp_path)
    again = json.loads((tmp_path / "summary.json").read_text())
    assert again["last"] == {"round": 1, "train/loss": None}
    assert set(again) == {"rounds", "last", "best", "seconds", "lost", "idle", "targets", "stopped", "folder"}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_validation_of_personal_models_chooses_the_best_round(tmp_path):
    name = "clients/used/{}/weighted"
    table = rows(name.format("validation_accuracy"), [0.5, 0.9, 0.7])
    for line, test in zip(table, [0.6, 0.8, 0.95], strict=True):
        line[name.format("accuracy")] = test
    best = summarise(table, tmp_path)["best"]
    assert (best["round"], best["chosen_by"], best["test"]) == (2, "validation", 0.8)


def test_the_best_validation_loss_is_the_smallest(tmp_path):
    best = summarise(rows("clients/used/validation_loss/weighted", [3.0, 1.0, 2.0]), tmp_path)["best"]
    assert (best["round"], best["value"], best["chosen_by"]) == (2, 1.0, "validation")
