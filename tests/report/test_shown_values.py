"""What is shown of values: once, in order, with as many digits as tell them apart, and no hole where none is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedlit.report.__main__ import main
from fedlit.report.grid import read_grid
from fedlit.report.options import parse
from fedlit.report.report import make_report
from fedlit.report.row_values import row_order
from fedlit.sweeps.sweep_record import SweepRecord
from tests.report.saved_runs import ACCURACY, LOSS, write_run, write_sweep

TEST_ACCURACY = "global/test/accuracy"
RATES = ("0.44303752452182654", "0.13981961408994045", "0.044303752452182654", "0.44303752999999999")


def markdown(folder: Path) -> str:
    return (folder / "report" / "table.md").read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Runs that a sweeper has chosen."""
    folder = write_sweep(tmp_path / "study", {(f"optimizer.lr={rate}",): [0.5] for rate in RATES})
    SweepRecord(["tune=lr"], "config", None, "", {"optimizer.lr": ["interval(0.01, 1)"]}, None).write(folder)
    return folder


def test_chosen_values_are_short_and_in_order_and_their_single_seeds_are_one_note(study: Path) -> None:
    assert main([str(study)]) == 0
    shown = markdown(study)
    rows = [line.split(" | ")[0].strip("| ") for line in shown.splitlines() if line.startswith("| 0.")]
    assert rows == ["0.044303752", "0.13981961", "0.44303752", "0.44303753"]
    assert shown.partition("Notes:\n\n")[2] == (
        "- Each row has a single seed, so there is no standard deviation and no test.\n"
        f"- {study}: a sweeper has chosen these runs by results; the best of them on test data looks better than it "
        "is.\n"
    )
    with open(study / "report" / "table.csv", newline="") as file:
        exact = [line["optimizer.lr"] for line in csv.DictReader(file)]
    assert sorted(map(float, exact)) == sorted(map(float, RATES))
    assert RATES[3] not in (study / "report" / "table.tex").read_text()


def test_other_seeds_and_cells_are_no_holes_of_a_study(study: Path) -> None:
    for number in (1, 2):
        config = study / str(number) / ".hydra" / "config.yaml"
        config.write_text(
            config.read_text().replace("seed: 1", f"seed: {number + 1}").replace("clients: 10", "clients: 9")
        )
    notes = make_report(parse([str(study)])).notes
    assert [note for note in notes if "no run with seed" in note or "no run has these values" in note] == []
    (study / "sweep.json").unlink()
    notes = make_report(parse([str(study)])).notes
    assert [note for note in notes if "no run with seed" in note] != []


def test_rows_stand_in_the_order_of_their_values(tmp_path: Path) -> None:
    """Numbers by size, and texts as the command line has them."""
    values = {
        (f"aggregator={name}", f"partition.alpha={alpha}"): [0.5] for alpha in (10, 0.5, 9) for name in ("a", "c", "b")
    }
    folder = write_sweep(tmp_path / "s", values)
    swept = {"aggregator": ["c", "a", "b"], "partition.alpha": ["10", "0.5", "9"]}
    SweepRecord([], "config", None, "", swept, []).write(folder)
    rows = [group.values for group in make_report(parse([str(folder)])).grid.groups]
    assert rows == [(name, alpha) for name in ("c", "a", "b") for alpha in ("0.5", "9", "10")]
    order = row_order(["k"], [("-",), ("2",), ("nan",)], {})
    assert sorted([("nan",), ("2",), ("-",)], key=order) == [("2",), ("-",), ("nan",)]


def test_a_metric_that_no_round_of_a_row_has_measured_is_no_hole(tmp_path: Path) -> None:
    """`local` has no global model: its row has no dagger there, and is still the best where it was measured."""
    folder = tmp_path / "s"
    for seed in (1, 2):
        of_clients = {ACCURACY: 0.5 + seed / 100, LOSS: 1.0, TEST_ACCURACY: 0.25}
        write_run(folder / f"a{seed}", ["aggregator=fedavg", f"seed={seed}"], [of_clients])
        write_run(folder / f"b{seed}", ["aggregator=local", f"seed={seed}"], [{ACCURACY: 0.75 + seed / 50}])
        write_run(
            folder / f"c{seed}",
            ["aggregator=own", f"seed={seed}"],
            [{ACCURACY: 0.1, "global/validation/accuracy": 1.0}],
        )
    (folder / "multirun.yaml").touch()
    assert main([str(folder)]) == 0
    shown = markdown(folder)
    assert "†" not in shown and "| local | **0.780 ± 0.014 (2)** | - | - |" in shown
    assert shown.count("local: ") == 1 and shown.count("not measured") == 2
    assert (
        f"- aggregator=local: {TEST_ACCURACY} and {LOSS} are not measured, because there is no global model.\n" in shown
    )
    assert f"- aggregator=own: {TEST_ACCURACY} and {LOSS} are not measured.\n" in shown
    assert "| fedavg | 0.515 ± 0.007 (2) | 0.25 ± 0.00 (2) | 1 ± 0 (2) |" in shown.replace("**", "")
    assert "**0.25" not in shown  # nothing to be better than


def test_columns_that_are_equal_in_all_rounds_are_shown_once(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for seed, last in enumerate((0.5, 0.75), 1):
        rows = [{ACCURACY: 0.1, TEST_ACCURACY: 0.1}, {ACCURACY: last, TEST_ACCURACY: last * (1 + 1e-9)}]
        write_run(folder / str(seed), [f"seed={seed}"], rows)
    (folder / "multirun.yaml").touch()
    assert main([str(folder)]) == 0
    shown = markdown(folder)
    assert f"Equal in all rounds up to rounding, so they are shown once: {TEST_ACCURACY} = {ACCURACY}." in shown
    assert f"| runs | {ACCURACY} ↑ |\n" in shown
    assert f"{TEST_ACCURACY} $" not in (folder / "report" / "table.tex").read_text()
    with open(folder / "report" / "table.csv", newline="") as file:
        assert [line["metric"] for line in csv.DictReader(file)] == [ACCURACY, TEST_ACCURACY]
    assert main([str(folder), f"metrics={ACCURACY},{TEST_ACCURACY}"]) == 0  # both are wanted
    assert f"| runs | {ACCURACY} ↑ | {TEST_ACCURACY} ↑ |" in markdown(folder)
    lines = [json.loads(line) for line in (folder / "2" / "metrics.jsonl").read_text().splitlines()]
    lines[0][TEST_ACCURACY] = 0.2  # in one round of one run
    (folder / "2" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main([str(folder)]) == 0
    assert f"| runs | {ACCURACY} ↑ | {TEST_ACCURACY} ↑ |" in markdown(folder)


def test_the_numbers_of_a_column_have_the_same_decimals(tmp_path: Path) -> None:
    values = {
        ("aggregator=a",): [0.60, 0.64],
        ("aggregator=b",): [0.3571, 0.3583],
        ("aggregator=c",): [0.8],
        ("aggregator=d",): [0.80, 0.85],
    }
    folder = write_sweep(tmp_path / "s", values)
    assert main([str(folder)]) == 0
    shown = markdown(folder).replace("**", "")
    for row in ("a | 0.620 ± 0.028 (2)", "b | 0.3577 ± 0.0008 (2)", "c | 0.800 (1)", "d | 0.825 ± 0.035 (2)"):
        assert f"| {row} |" in shown, shown


def test_stages_are_shown_as_a_list_in_their_order(tmp_path: Path) -> None:
    lists = ["", "[]", "[topk,clip]", "[clip,topk]", "[topk, clip]"]
    for number, written in enumerate(lists):
        run = write_run(tmp_path / "s" / str(number), [f"seed={number}"], [{ACCURACY: 0.5}])
        config = OmegaConf.load(run / ".hydra" / "config.yaml")
        names = written.strip("[]").replace(" ", "").split(",") if len(written) > 2 else []
        OmegaConf.update(config, "uplink", {name: {"_target_": f"mine.{name}"} for name in names})
        OmegaConf.save(config, run / ".hydra" / "config.yaml")
        words = [f"seed={number}", *([f"uplink={written}"] if written else [])]
        OmegaConf.save(OmegaConf.create(words), run / ".hydra" / "overrides.yaml")
    grid = read_grid([tmp_path / "s"])
    assert grid.keys == ["uplink"]
    assert {group.values: sorted(group.runs) for group in grid.groups} == {
        ("[]",): [0, 1],
        ("[topk,clip]",): [2, 4],
        ("[clip,topk]",): [3],
    }
