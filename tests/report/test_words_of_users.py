"""What users write for a row, a metric or a target, and what they get where it can be meant in one way alone."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from fedlit.report.__main__ import main
from fedlit.report.options import parse
from fedlit.report.report import make_report
from tests.report.saved_runs import ACCURACY, LOSS, write_run, write_sweep

TEST_ACCURACY = "global/test/accuracy"


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    names, alphas = ["aggregator=fedavg", "aggregator=fedprox"], ["partition.alpha=0.1", "partition.alpha=1.0"]
    rows = product(names, alphas, ["aggregator.mu=1", "aggregator.mu=0.25"])
    return write_sweep(tmp_path / "s", {row: [0.3, 0.4] for row in rows})


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("fedavg", {"aggregator": "fedavg"}),
        ("aggregator=fedavg", {"aggregator": "fedavg"}),
        ("alpha=1", {"partition.alpha": "1"}),
        ("partition.alpha=1.0", {"partition.alpha": "1"}),
        ("0.1", {"partition.alpha": "0.1"}),
        ("fedprox,mu=2.5e-1", {"aggregator": "fedprox", "aggregator.mu": "0.25"}),
    ],
)
def test_a_baseline_in_short(grid: Path, word: str, values: dict[str, str]) -> None:
    report = make_report(parse([str(grid), f"baseline={word}"]))
    assert report.baseline == values and report.shown_tests
    for test in report.shown_tests:
        against = report.grid.groups[test.against].values
        assert values.items() <= dict(zip(report.grid.keys, against, strict=True)).items()


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "1",
            "baseline=1: this may be partition.alpha=1 or aggregator.mu=1; write one of them.",
        ),
        (
            "scaffold",
            "baseline=scaffold: no row has this value; varied were: aggregator (fedavg, fedprox), partition.alpha "
            "(0.1, 1), aggregator.mu (0.25, 1).",
        ),
        ("alpha=7", "baseline=alpha=7: no row has these values; partition.alpha has: 0.1, 1."),
        ("lr=7", "baseline=lr=7: lr was not varied; varied were: aggregator (fedavg, fedprox), "),
    ],
)
def test_a_baseline_that_may_be_none_or_two(
    grid: Path, word: str, sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([str(grid), f"baseline={word}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence) and error.count("\n") == 1


def test_the_last_part_of_a_metric_is_answered_with_full_names_the_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = ["train/log/accuracy", "clients/received/accuracy/mean", "clients/used/accuracy/std", TEST_ACCURACY]
    run = write_run(tmp_path / "a", ["seed=1"], [dict.fromkeys([*names, "clients/used/accuracy/weighted"], 0.5)])
    assert main([str(run), "metrics=accuracy"]) == 2
    assert capsys.readouterr().err == (
        "metrics=accuracy: no run has this metric; write for example "
        f"metrics=clients/used/accuracy/weighted,{TEST_ACCURACY},clients/used/accuracy/std.\n"
    )
    assert main([str(run), "metrics=f1"]) == 2
    assert "metrics=clients/used/accuracy/weighted,clients/used/accuracy/std" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "values", "target", "is_noted"),
    [
        (ACCURACY, (0.5, 1.0), "90", True),
        (ACCURACY, (0.5, 0.6), "100", True),
        (ACCURACY, (0.5, 0.6), "1", False),
        (ACCURACY, (0.5, 0.6), "101", False),
        (ACCURACY, (55.0, 60.0), "90", False),  # the module logs per cent
        (LOSS, (0.5, 0.25), "90", False),
        ("global/test/psnr", (0.5, 22.0), "30", False),
    ],
)
def test_a_target_in_per_cent_has_a_line(
    metric: str, values: tuple[float, float], target: str, is_noted: bool, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "a", ["seed=1"], [{metric: value} for value in values])
    notes = make_report(parse([str(run), f"target=0.1,{target}"])).notes
    own = {"rounds": 2, "stopped": None, "targets": {metric: [{"value": float(target)}]}}
    (run / "summary.json").write_text(json.dumps(own))
    assert make_report(parse([str(run)])).notes == notes  # of the run's own target
    expected = f"target={target}: {metric} lies between 0 and 1 in all runs; write target={float(target) / 100:g} for "
    assert [note.startswith(expected) for note in notes if note.startswith("target=")] == [True] * is_noted


def test_rounds_to_a_target_are_printed_where_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: value} for value in (0.25, 0.5, 0.75)])
    table = "| a | 0.5 | 1 of 1 | 2 | - | - |"
    assert main([str(run)]) == 0
    shown = capsys.readouterr().out
    assert table not in shown and "rounds_to_target.md" in shown
    assert main([str(run), "target=0.5"]) == 0
    assert table in capsys.readouterr().out
    summary = {"rounds": 3, "stopped": None, "targets": {ACCURACY: [{"value": 0.5, "round": 2}]}}
    (run / "summary.json").write_text(json.dumps(summary))
    assert main([str(run)]) == 0
    assert table in capsys.readouterr().out
