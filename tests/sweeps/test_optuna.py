"""hydra/sweeper=optuna (pip install "fedlit[optuna]"): runs that are chosen by the results of those before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedlit.run import main
from tests.launched_sweeps import is_installed
from tests.small_runs import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed("hydra_optuna_sweeper"), reason="hydra-optuna-sweeper is not installed"),
]
RUN = ["device=cpu", "threads=1", "rounds=2", "data=synthetic", "data.size_log_std=0", "data.sites=3", "clients=3"]
WORDS = ["-m", "tune=lr", *RUN, "logger=none", "checkpoint.every=0", "hydra.sweep.dir=study"]


def study(*words: str) -> int:
    return main([*WORDS, *words])


def trials(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The rounds of each run, without their seconds."""
    return {
        path.parent.name: [{n: v for n, v in row.items() if not n.startswith("time/")} for row in rows(path.parent)]
        for path in sorted(folder.glob("*/metrics.jsonl"))
    }


def test_a_study_that_was_killed_goes_on_to_the_same_runs(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("hydra.sweeper.n_trials=14", "batch_size=choice(8,32)") == 0
    whole = trials(Path("study"))
    assert len(whole) == 14 and len({name.partition(",")[2] for name in whole}) == 14
    best = max(whole, key=lambda name: max(row.get("global/validation/accuracy", 0) for row in whole[name]))
    shown = capsys.readouterr().out
    value = max(row["global/validation/accuracy"] for row in whole[best])
    assert f"best of 14 runs by global/validation/accuracy, each in its best round: {best}  {value:.6g}\n" in shown
    assert "  of the last round, on test data: mean ± standard deviation (seeds)\n" in shown
    for number in (11, 12, 13):
        (lost,) = Path("study").glob(f"{number},*")
        shutil.rmtree(lost)
    (cut,) = Path("study").glob("10,*")  # killed in its second round
    shutil.rmtree(cut / "checkpoints" / "round_0002")
    (cut / "summary.json").unlink()
    first, _ = (cut / "metrics.jsonl").read_text().splitlines()
    (cut / "metrics.jsonl").write_text(f"{first}\n")
    finished = {path: path.stat().st_mtime_ns for path in Path("study").glob("[0-9],*/summary.json")}
    assert len(finished) == 10
    assert main(["resume=study"]) == 0
    assert trials(Path("study")) == whole
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_study_gets_more_runs(in_folder: Path) -> None:
    assert study("hydra.sweeper.n_trials=2") == 0
    before = trials(Path("study"))
    assert main(["resume=study", "hydra.sweeper.n_trials=3"]) == 0
    after = trials(Path("study"))
    assert len(after) == 3 and before.items() <= after.items()
    assert json.loads(Path("study/sweep.json").read_text())["jobs"] is None


@pytest.mark.parametrize("kept", [[], [".hydra/config.yaml"], [".hydra/config.yaml", "format.txt"]])
def test_a_run_that_was_killed_before_its_first_round_begins_again(in_folder: Path, kept: list[str]) -> None:
    assert study("hydra.sweeper.n_trials=2") == 0
    whole = trials(Path("study"))
    (second,) = Path("study").glob("1,*")
    texts = {name: (second / name).read_text() for name in kept}
    shutil.rmtree(second)
    (second / ".hydra").mkdir(parents=True)
    for name, text in texts.items():
        (second / name).write_text(text)
    (second / "loggers.json").write_text("{}")
    assert main(["resume=study"]) == 0
    assert trials(Path("study")) == whole
    assert (second / ".hydra" / "overrides.yaml").exists() and not (second / "loggers.json").exists()


def test_runs_that_fail_do_not_stop_the_study_and_stay_failed(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hydra.sweeper.n_trials=6", "server_samples=choice(0,1000000)"]
    assert study(*words) == 1
    failures = sorted(path.parent.name for path in Path("study").glob("*/failure.txt"))
    assert 0 < len(failures) < 6 and len(trials(Path("study"))) == 6 - len(failures)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and "float-castable" not in shown.err + shown.out
    assert f"{6 - len(failures)} of 6 runs finished" in shown.out
    logs = {name: (Path("study") / name / "run.log").stat().st_mtime_ns for name in failures}
    assert main(["resume=study"]) == 1
    assert {name: (Path("study") / name / "run.log").stat().st_mtime_ns for name in failures} == logs


def test_a_study_without_any_result_ends_without_a_trace(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("hydra.sweeper.n_trials=2", "server_samples=1000000") == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and "best of" not in shown.out


def test_a_metric_that_no_run_has_is_refused_after_the_first(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study("hydra.sweeper.n_trials=3", "objective=global/validation/acuracy") == 2
    assert "the runs have no metric of this name; write one of " in capsys.readouterr().err
    assert len(trials(Path("study"))) == 1


def test_the_choice_by_test_data_is_said(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("hydra.sweeper.n_trials=2", "evaluation.client_validation=0") == 0
    sentence = (
        "the runs are chosen by global/test/accuracy, on test data, which makes the best one look better than it is;"
    )
    assert capsys.readouterr().out.count(f"{sentence} write evaluation.client_validation=0.2") == 1


@pytest.mark.parametrize(
    ("begun", "resumed", "sentence"),
    [
        ([], ["rounds=3"], "rounds=3: the runs of this study were chosen by results with other rounds or another rule"),
        ([], ["stop.patience=1"], "stop.patience=1: the runs of this study were chosen by results with other rounds"),
        ([], ["hydra.sweeper.sampler.seed=1"], "differs from what the sweeper has chosen now (0,lr="),
        (["hydra.sweeper.sampler.seed=null"], [], "the study was started without a seed"),
        (["tune=", "hydra/sweeper/sampler=grid"], [], "it draws the order of its runs without a seed"),
    ],
)
def test_a_study_that_cannot_be_repeated_is_refused(
    in_folder: Path, capsys: pytest.CaptureFixture[str], begun: list[str], resumed: list[str], sentence: str
) -> None:
    words = [word for word in WORDS if word != "tune=lr" or "tune=" not in begun]
    if "tune=" in begun:
        words += ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "optimizer.lr=choice(0.1,0.2)"]
    assert main([*words, "hydra.sweeper.n_trials=1", *(word for word in begun if word != "tune=")]) == 0
    before, record = trials(Path("study")), Path("study/sweep.json").read_bytes()
    assert main(["resume=study", "hydra.sweeper.n_trials=2", *resumed]) == 2
    assert sentence in capsys.readouterr().err
    assert trials(Path("study")) == before and Path("study/sweep.json").read_bytes() == record


@pytest.mark.parametrize(
    ("word", "difference"),
    [("rounds=3", "(rounds: 2 -> 3)"), ("stop.patience=1", "(stop.patience: null -> 1)")],
)
def test_a_study_goes_on_after_a_refused_command(
    in_folder: Path, capsys: pytest.CaptureFixture[str], word: str, difference: str
) -> None:
    assert study("hydra.sweeper.n_trials=1") == 0
    record = Path("study/sweep.json").read_bytes()
    assert study("hydra.sweeper.n_trials=2", word) == 2
    assert f"differs from what the sweeper has chosen now {difference}" in capsys.readouterr().err
    assert Path("study/sweep.json").read_bytes() == record
    assert main(["resume=study", "hydra.sweeper.n_trials=2", "rounds=2"]) == 0  # as the study was started
    assert len(trials(Path("study"))) == 2


def test_a_storage_is_refused(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("hydra.sweeper.storage=sqlite:///study.db") == 2
    assert capsys.readouterr().err.startswith("hydra.sweeper.storage=sqlite:///study.db: leave it out;")
    assert not Path("study").exists()


def test_a_single_run_is_not_tuned(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune=lr", *RUN]) == 2
    assert capsys.readouterr().err == "tune=lr: it chooses the values of many runs; add --multirun.\n"
