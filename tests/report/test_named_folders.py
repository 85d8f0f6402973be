"""Which runs a report is of, and where it is written."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fedlit.report.__main__ import main
from fedlit.report.named_folders import named_folders
from fedlit.report.options import parse
from fedlit.report.report import make_report
from tests.report.saved_runs import ACCURACY, write_run, write_sweep


def test_a_folder_of_many_runs_and_sweeps_is_all_of_them(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    first = write_run(outputs / "day" / "a", ["aggregator=fedavg", "seed=1"], [{ACCURACY: 0.25}])
    write_run(first / "copy", ["aggregator=other", "seed=9"], [{ACCURACY: 0.9}])  # within a run
    sweep = write_sweep(outputs / "later" / "deep" / "s", {("aggregator=fedavg",): [0.5, 0.75]})
    old = write_run(outputs / "old", ["aggregator=older", "seed=1"], [{ACCURACY: 0.9}])
    (old / "format.txt").write_text("2\n")
    (outputs / ".hidden" / ".hydra").mkdir(parents=True)
    (outputs / "notes" / "more").mkdir(parents=True)
    assert named_folders([outputs]) == [first, sweep, old]
    report = make_report(parse([str(outputs)]))
    (row,) = report.grid.groups
    assert {seed: run.folder for seed, run in row.runs.items()} == {1: first, 2: sweep / "1"}
    assert report.options.out == outputs / "report"
    assert [note for note in report.notes if "this run folder has format 2" in note] != []
    assert [note for note in report.notes if "the same settings and seed as" in note] != []  # seed 1 of the sweep


@pytest.mark.parametrize("name", ["old", "empty"])
def test_a_folder_without_a_run_that_can_be_read_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    for number in range(2):
        run = write_run(tmp_path / "old" / str(number), [f"seed={number}"], [{ACCURACY: 0.9}])
        (run / "format.txt").write_text("2\n")
    assert main([str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    expected = {"old": "has format 2, and this fedlit reads", "empty": "this is no folder of a fedlit run"}
    assert expected[name] in error and error.count("\n") == 1
    assert ("1 more folder likewise." in error) == (name == "old")


def test_the_runs_of_each_row_are_a_file(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {("aggregator=a",): [0.5], ("aggregator=b",): [0.25, 0.5]})
    assert main([str(folder)]) == 0
    with open(folder / "report" / "runs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["aggregator"], line["seed"], line["folder"]) for line in lines] == [
        ("a", "1", str(folder / "0")),
        ("b", "1", str(folder / "1")),
        ("b", "2", str(folder / "2")),
    ]


def test_the_report_of_other_runs_is_not_replaced_unless_its_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`report a b` and `report a c` are both written into ./report."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("a", "b", "c")):
        write_run(tmp_path / name, [f"seed={place}"], [{ACCURACY: 0.5 + place / 8}])
    assert main(["a", "b"]) == 0
    before = (tmp_path / "report" / "table.csv").read_bytes()
    capsys.readouterr()
    assert main(["a", "c"]) == 2
    assert capsys.readouterr().err == (
        "report: this folder holds the report of other runs (b); write out=<another folder>, or out=report to replace "
        "it.\n"
    )
    assert (tmp_path / "report" / "table.csv").read_bytes() == before
    assert main(["b", "a"]) == 0
    assert main(["a", "b", "c"]) == 0  # has all that was there
    assert main(["a", "b"]) == 2
    assert main(["a", "b", "out=report"]) == 0
    assert main(["c"]) == 0 and (tmp_path / "c" / "report" / "table.md").exists()
