"""What of a study needs no sweeper that chooses: how its record is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedlit.errors import InputError
from fedlit.settings import command_line
from fedlit.sweeps.objective import Objective
from fedlit.sweeps.resumed_sweep import line_of
from fedlit.sweeps.study import Study
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord
from tests.report.saved_runs import write_run

STUDY = SweepRecord(["tune=lr", "rounds=2", "stop.patience=3"], "config", None, "/from", {}, None)


def resumed(record: SweepRecord, *words: str) -> list[str]:
    return line_of(record, Path("/study"), command_line.read(["resume=/study", *words])).overrides


@pytest.mark.parametrize("word", ["rounds=4", "stop.patience=1", "stop.target=0.9"])
def test_what_the_choices_of_a_study_rest_on_is_refused_before_its_record_changes(word: str) -> None:
    with pytest.raises(InputError, match=f"^{word}: the runs of this study were chosen by results with other rounds"):
        resumed(STUDY, word)
    assert word in resumed(replace(STUDY, jobs=[RecordedJob(["seed=1"], "seed=1")]), word)  # a sweep over values


def test_the_words_that_a_study_takes_are_told_without_those() -> None:
    with pytest.raises(InputError, match="a sweep that goes on may change targets, engine, "):
        resumed(STUDY, "clients=9")


def test_the_best_run_is_shown_with_the_metric_that_chose_it(tmp_path: Path) -> None:
    metric, on_test = "global/validation/accuracy", "global/test/accuracy"
    study = Study(None, "config", [], tmp_path, [], Objective("accuracy", "higher"), None)  # type: ignore[arg-type]
    for name, values in {"0,lr=1": (0.5, 0.75), "1,lr=2": (0.875, 0.25)}.items():
        rows = [{metric: value, on_test: 1.0} for value in values]
        run = write_run(tmp_path / name, ["seed=1"], rows)
        study.values[run] = study._objective.value(rows)
    assert study.best() == f"best of 2 runs by {metric}, each in its best round: 1,lr=2  0.875"


def test_a_study_takes_the_words_that_change_no_choice() -> None:
    for word in ("rounds=2", "stop.patience=3", "targets={a: [0.8]}", "progress=none", "hydra.sweeper.n_trials=9"):
        assert word in resumed(STUDY, word)
