"""python -m fedlit.reproduce: runs the seeds, skips those that have ended, compares, and writes the page."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedlit import simulation
from fedlit.reproduce.__main__ import MISSED, main
from fedlit.reproduce.published import Published
from fedlit.reproduce.runs import changes, reached
from fedlit.saved_run import SavedRun
from tests.report.saved_runs import write_run
from tests.reproduce.experiments import GIVEN, write_experiment
from tests.small_runs import without_figures

ENTRY = """\
published:
  - metric: global/test/accuracy
    value: 0.2
    tolerance: 1
    seeds: 2
    source: Somebody 2021, table 3
  - metric: global/test/accuracy
    value: 0.9
    tolerance: 0.001
    source: Somebody 2021, table 4
    words: [aggregator=fedavgm]
  - metric: global/test/accuracy
    target: 0.01
    value: 1
    tolerance: 0
    seeds: 1
    source: Somebody 2021, figure 5
  - metric: global/test/accuracy
    target: 1.5
    value: 1
    tolerance: 0
    source: Somebody 2021, figure 6
"""
FOLDER = Path("outputs/reproductions/mine")


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)


@pytest.fixture
def search(in_folder: Path) -> str:
    return write_experiment(in_folder / "conf", ENTRY)


def accuracy(run: Path) -> float:
    return json.loads((run / "summary.json").read_text())["last"]["global/test/accuracy"]


def cells(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows][1:]


def test_values_are_compared_with_the_runs_and_written_into_the_page(
    search: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["experiment=mine", search, *GIVEN, "--docs", "docs"]) == MISSED
    runs = [FOLDER / "preset" / "seed_0", FOLDER / "preset" / "seed_1", FOLDER / "aggregator=fedavgm" / "seed_0"]
    assert sorted(path.parent for path in FOLDER.rglob("summary.json")) == sorted(runs)
    mean = (accuracy(runs[0]) + accuracy(runs[1])) / 2
    shown = cells((FOLDER / "values.md").read_text())
    assert [row[0] for row in shown] == ["the preset", "`aggregator=fedavgm`", "the preset", "the preset"]
    assert shown[0][2] == "0.2 (2)" and float(shown[0][3].split()[0]) == pytest.approx(mean, abs=0.1)
    assert float(shown[0][4]) == pytest.approx(mean - 0.2, abs=0.1)
    assert float(shown[1][4]) == pytest.approx(accuracy(runs[2]) - 0.9, abs=0.001)
    assert shown[2][1] == "round in which global/test/accuracy reaches 0.01" and shown[2][3:5] == ["1 (1)", "0"]
    assert shown[3][3:6] == ["- (1)", "-", "0"]
    assert [row[6] for row in shown] == ["yes", "no", "yes", "no finite value of seed 0"]

    page = Path("docs/reproductions.md").read_text()
    assert cells(page)[-4:] == shown
    for text in ("Source: Somebody 2021, table 3.", "Machine 1: ", "fedlit.reproduce experiment=mine device=cpu\n"):
        assert text in page
    Path("docs/reproductions.md").unlink()
    assert main(["--docs", "docs", search]) == 0  # from the results that are kept
    assert Path("docs/reproductions.md").read_text() == page

    assert main(["experiment=mine", search, *GIVEN, "batch_size=7"]) == 2  # before any run
    assert "has other settings, batch_size: 32 -> 7" in capsys.readouterr().err


def test_a_value_is_a_mean_over_the_last_evaluations(tmp_path: Path) -> None:
    rows = [{"global/test/accuracy": 0.1 * number} if number % 2 else {} for number in range(1, 8)]
    run = SavedRun(write_run(tmp_path / "run", [], rows))
    last_two = Published("global/test/accuracy", 0.6, "Somebody 2021", tolerance=0.1, evaluations=2)
    assert reached(last_two, run) == pytest.approx((0.5 + 0.7) / 2)
    assert math.isnan(reached(replace(last_two, evaluations=5), run))  # four were measured
    assert last_two.quantity == "global/test/accuracy, mean of the last 2"


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_one_that_has_ended_is_left_as_it_is(
    search: str, capsys: pytest.CaptureFixture
) -> None:
    runs = [FOLDER / "preset" / f"seed_{seed}" for seed in (0, 1)]
    assert main(["experiment=mine", search, *GIVEN]) == MISSED
    shown = cells((FOLDER / "values.md").read_text())
    time = (runs[0] / "summary.json").stat().st_mtime_ns
    shutil.rmtree(runs[1] / "checkpoints" / "round_0002")
    (runs[1] / "summary.json").unlink()  # as if it had been killed in its second round
    capsys.readouterr()
    assert main(["experiment=mine", search, *GIVEN]) == MISSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 3: seed=0: has ended before" and lines[2].endswith("seed=0: has ended before")
    assert lines[1].startswith("2 of 3: seed=1: ") and lines[1].endswith(" s")
    assert [row[:7] for row in cells((FOLDER / "values.md").read_text())] == [row[:7] for row in shown]
    assert (runs[0] / "summary.json").stat().st_mtime_ns == time


def test_all_values_reproduced_is_exit_code_0(in_folder: Path, capsys: pytest.CaptureFixture) -> None:
    search = write_experiment(
        in_folder / "conf", ENTRY[: ENTRY.index("  - metric", 20)].replace("seeds: 2", "seeds: 1")
    )
    assert main(["experiment=mine", search, *GIVEN, "rounds=1", "--folder", "runs"]) == 0
    assert "With rounds=1, which the published values are not of:" in capsys.readouterr().out
    assert (in_folder / "runs" / "mine" / "values.md").exists()


def test_a_run_of_other_words_is_not_taken_as_the_published_one(in_folder: Path, capsys: pytest.CaptureFixture) -> None:
    search = write_experiment(in_folder / "conf", ENTRY[: ENTRY.index("  - metric", 20)].replace("2\n", "1\n"))
    folder = ["--folder", "runs"]
    docs = [*folder, "--docs", "docs"]

    def refused(words: list[str]) -> str:
        before = sorted((path, path.stat().st_mtime_ns) for path in Path("runs").rglob("*.json*"))
        assert main(["experiment=mine", search, *GIVEN, *words]) == 2
        assert sorted((path, path.stat().st_mtime_ns) for path in Path("runs").rglob("*.json*")) == before
        assert not Path("docs").exists()
        return capsys.readouterr().err

    assert main(["experiment=mine", search, *GIVEN, "rounds=1", "stop.patience=9", *folder]) == 0
    assert "has other settings, rounds: 1 -> 2; write the same words as before" in refused(docs)
    assert "has other settings, stop.patience: 9 -> null" in refused(["rounds=1", *folder])
    assert "has other settings, rounds: 1 -> 3" in refused(["rounds=3", "stop.patience=9", *folder])
    (Path("runs") / "mine" / "preset" / "seed_0" / "summary.json").unlink()  # as if it had been killed at its end
    assert "has other settings, rounds: 1 -> 2" in refused(docs)
    assert main(["experiment=mine", search, *GIVEN, "rounds=1", "stop.patience=9", *folder]) == 0


def test_a_value_of_a_run_that_stopped_is_the_last_measured_one_and_a_line_says_so(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stopping(words: list[str]) -> Any:
        rows = [{"global/test/accuracy": 0.1}, {"global/test/accuracy": 0.2}, {"fit/loss": 1.0}]
        folder = write_run(Path(words[-1].partition("=")[2].strip("'")), ["seed=0"], rows, rounds=9)
        (folder / "summary.json").write_text('{"rounds": 3, "stopped": "the budget is spent"}')
        return SimpleNamespace(saved=SavedRun(folder))

    search = write_experiment(
        in_folder / "conf", ENTRY[: ENTRY.index("  - metric", 20)].replace("seeds: 2", "seeds: 1")
    )
    monkeypatch.setattr(simulation, "simulate", stopping)
    assert main(["experiment=mine", search, *GIVEN]) == 0
    shown = capsys.readouterr().out
    assert "\n  global/test/accuracy is of round 2, the last one that has measured it\n" in shown
    assert cells(shown)[0][3] == "0.2 (1)"


def test_a_failed_run_is_named_and_the_others_go_on(
    search: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def failing(words: list[str]) -> Any:
        raise RuntimeError("no memory\nis left")

    monkeypatch.setattr(simulation, "simulate", failing)
    assert main(["experiment=mine", search, *GIVEN, "--docs", "docs"]) == 1
    shown = capsys.readouterr().out
    assert "2 of 3: seed=1: failed, RuntimeError: no memory is left; " in shown
    assert [row[6] for row in cells(shown)] == ["seed 0, 1 failed", *["seed 0 failed"] * 3]
    assert not Path("docs/reproductions.json").exists()


def test_a_metric_that_the_run_lacks_is_refused_after_the_first_run(
    in_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    search = write_experiment(in_folder / "conf", ENTRY.replace("global/test/accuracy", "global/test/acuracy"))
    assert main(["experiment=mine", search, *GIVEN]) == 2
    assert "published value of global/test/acuracy: no run has this metric; write for example" in (
        capsys.readouterr().err
    )
    assert len(list(FOLDER.rglob("summary.json"))) == 1


def test_words_that_change_no_number_leave_the_published_experiment_as_it_is() -> None:
    free = ["profile=true", "targets={loss: 1}", "debug=profile", "data.root=x", "hydra/launcher=joblib", "store=disk"]
    changed = ["rounds=3", "stop.patience=2", "data=mnist", "batch_size=7"]
    assert changes([*free, *changed, "trainer.devices=2", "checkpoint.every=0"]) == changed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["experiment=lecture"], "experiment=lecture: it has no published values; write experiment=flamby_heart"),
        (["experiment=mine", "seed=3"], "seed=3: seeds and folders are given by the published values and --folder"),
        (["experiment=mine", "batch_size=3,4"], "batch_size=3,4: all runs have the same settings"),
        (["experiment=mine", "batch_size=3", "--docs", "docs"], "batch_size=3: it changes the published experiment"),
        (["experiment=mine", "--doc=3", "--fast"], "--help lists the flags"),
        (["experiment=mine", "batch=3"], "batch=3: there is no key batch"),
    ],
)
def test_wrong_words_are_one_sentence(
    words: list[str], sentence: str, search: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([*words, search]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not Path("outputs").exists() and not Path("docs").exists()
