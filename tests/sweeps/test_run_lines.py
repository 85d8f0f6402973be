"""The lines of a sweep, its table and its exit code, from run folders that were written by hand."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import pytest

from fedlit.atomic_files import write_text
from fedlit.sweeps.no_lines import NoLines
from fedlit.sweeps.plan import Job, Plan
from fedlit.sweeps.run_lines import RunLines
from fedlit.sweeps.sweep_end import end_text, exit_code
from fedlit.sweeps.sweep_record import SweepRecord
from tests.report.saved_runs import ACCURACY, LOSS, write_run


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sweep"


def write(sweep: Path, name: str, value: float = 0.5, **options: object) -> None:
    words = [word if word.startswith("seed") else f"partition.{word}" for word in name.split(",")]
    write_run(sweep / name, words, [{ACCURACY: value, LOSS: 1.0}], **options)  # type: ignore[arg-type]


def planned(*names: str, finished: int = 0) -> Plan:
    jobs = [Job(name.split(","), name, "finished" if place < finished else "new") for place, name in enumerate(names)]
    return Plan({}, jobs)


def test_a_line_has_number_result_and_the_time_that_is_left(sweep: Path) -> None:
    written: list[str] = []
    seconds = iter([100.0, 160.0, 220.0])
    lines = RunLines(sweep, planned("seed=1", "seed=2", "seed=3", finished=1), written.append, lambda: next(seconds))
    write(sweep, "seed=2", 0.25)
    (sweep / "seed=2" / "summary.json").write_text(json.dumps({"rounds": 1, "seconds": 58.2, "stopped": "enough"}))
    lines.ended(sweep / "seed=2", failed=False)
    lines.ended(sweep / "seed=3", failed=True)
    assert written == [
        f"run 2/3  seed=2  {ACCURACY} 0.250  stopped after round 1: enough  58 s  about 1 min 0 s left",
        "run 3/3  seed=3  failed",
    ]


@pytest.mark.parametrize("here", [True, False])
def test_the_time_before_the_first_run_begins_is_no_time_of_a_run(sweep: Path, here: bool) -> None:
    """Torch is imported in that time, once."""
    now, written = 0.0, []
    lines = RunLines(sweep, planned("seed=1", "seed=2", "seed=3"), written.append, lambda: now)
    for seed in (1, 2):
        now += 7 if seed == 1 else 0  # the start of the process
        run = sweep / f"seed={seed}"
        run.mkdir(parents=True)
        if here:
            lines.began()
        else:
            (run / "partition.npz").touch()
            lines.look()
        now += 4
        write(sweep, f"seed={seed}")
        lines.ended(run, failed=False) if here else lines.look()
    assert [line.rpartition("  ")[2] for line in written] == ["about 8.0 s left", "about 4.0 s left"]


def test_runs_of_other_processes_are_found_once_by_their_files(sweep: Path) -> None:
    written: list[str] = []
    lines = RunLines(sweep, planned("seed=1", "seed=2", "seed=3"), written.append, lambda: 0.0)
    lines.look()
    write(sweep, "seed=3", failure="out of memory")
    write_run(sweep / "seed=2", ["seed=2"], [{ACCURACY: 0.5}], rounds=2)
    for _ in range(2):
        lines.look()
    write(sweep, "seed=1")
    lines.look()
    assert [line.partition("  about")[0] for line in written] == [
        "run 1/3  seed=3  failed: out of memory",
        f"run 2/3  seed=1  {ACCURACY} 0.500",
    ]


def test_a_run_that_stopped_in_a_round_without_an_evaluation_shows_the_last_one(sweep: Path) -> None:
    run = write_run(sweep / "seed=1", ["seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}, {"fit/loss": 1.0}], rounds=9)
    (run / "summary.json").write_text(json.dumps({"rounds": 3, "stopped": "enough"}))
    written: list[str] = []
    RunLines(sweep, planned("seed=1"), written.append, lambda: 0.0).ended(run, failed=False)
    assert written == [f"run 1/1  seed=1  {ACCURACY} 0.200 in round 2  stopped after round 3: enough"]


def test_a_run_that_goes_on_in_another_process_has_no_line_until_it_ends_again(sweep: Path) -> None:
    """Its summary of two rounds is still there; a checkpoint with the new number of rounds is not."""
    run = write_run(sweep / "seed=1", ["seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}])
    written: list[str] = []
    lines = RunLines(sweep, Plan({}, [Job(["seed=1", "rounds=3"], "seed=1", "begun")]), written.append, lambda: 0.0)
    lines.look()
    assert written == []
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"round": 3, ACCURACY: 0.3}) + "\n")
    lines.look()
    assert written == []
    write_text(run / "summary.json", json.dumps({"rounds": 3, "stopped": None}))
    lines.look()
    lines.look()
    assert written == [f"run 1/1  seed=1  {ACCURACY} 0.300"]


def test_a_thread_looks_while_a_launcher_waits(sweep: Path) -> None:
    written: list[str] = []
    lines = RunLines(sweep, planned("seed=1", "seed=2"), written.append)
    with lines.watching():
        write(sweep, "seed=1")
        deadline = time.monotonic() + 30
        while not written and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(written) == 1
        write(sweep, "seed=2")
    assert len(written) == 2


def test_without_a_plan_the_runs_are_found_in_the_folder(sweep: Path) -> None:
    write(sweep, "seed=1")
    (sweep / "multirun.yaml").touch()
    written: list[str] = []
    lines = RunLines(sweep, Plan({}), written.append, lambda: 0.0)
    write(sweep, "seed=2")
    lines.look()
    assert written == [f"run 1  seed=2  {ACCURACY} 0.500"]


def test_in_another_process_no_line_is_written(sweep: Path) -> None:
    assert isinstance(pickle.loads(pickle.dumps(RunLines(sweep, planned("seed=1"), print))), NoLines)


def test_the_end_has_a_table_over_seeds_and_what_is_missing(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    names = [f"alpha={alpha},seed={seed}" for alpha in (1, 2) for seed in (1, 2, 3)]
    for name, value in zip(names[:4], (0.5, 0.7, 0.6, 0.9), strict=True):
        write(sweep, name, value)
    write(sweep, names[4], failure="out of memory")
    swept = {"partition.alpha": ["1", "2"], "seed": ["1", "2", "3"]}
    SweepRecord(["seed=1,2,3"], "config", None, str(sweep), swept, []).write(sweep)
    (sweep / names[0] / "events.out.tfevents.0").touch()
    assert end_text(sweep, planned(*names)).splitlines() == [
        "sweep: 4 of 6 runs finished",
        "  of the last round, on test data: mean ± standard deviation (seeds)",
        "  partition.alpha  clients/used/accuracy/weighted ↑  global/test/loss ↓",
        "  1                                 0.60 ± 0.10 (3)           1 ± 0 (3)",
        "  2                                        0.90 (1)               1 (1)",
        "  alpha=2,seed=2  failed: out of memory",
        "  alpha=2,seed=3  has not begun",
        "report: python -m fedlit.report sweep",
        "curves: tensorboard --logdir sweep",
        "again: python -m fedlit.run resume=sweep",
    ]


def test_the_table_is_as_wide_as_the_terminal(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sweep, "alpha=1,seed=1")
    write(sweep, "alpha=2,seed=1")
    (sweep / "multirun.yaml").touch()
    for columns, shows_loss in ((60, False), (80, True), (20, False)):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown = end_text(sweep, planned("alpha=1,seed=1", "alpha=2,seed=1"))
        assert ("global/test/loss" in shown, ACCURACY in shown) == (shows_loss, True)


def test_the_best_row_is_marked_where_rows_may_be_compared(sweep: Path) -> None:
    for name, value in {"fedavg": 0.5, "scaffold": 0.7}.items():
        write_run(sweep / name, [f"aggregator={name}", "seed=1"], [{ACCURACY: value}])
    (sweep / "multirun.yaml").touch()
    shown = end_text(sweep, planned("fedavg", "scaffold")).splitlines()
    assert [line.split() for line in shown[3:5]] == [["fedavg", "0.5", "(1)"], ["scaffold", "0.7", "(1)*"]]
    assert shown[5] == "  * the best of the rows with the same data and partition"


def test_without_a_finished_run_there_is_no_table(sweep: Path) -> None:
    sweep.mkdir()
    (sweep / "multirun.yaml").touch()
    assert end_text(sweep, planned("seed=1")).splitlines() == [
        "sweep: 0 of 1 run finished",
        "  seed=1  has not begun",
        "again: python -m fedlit.run resume=sweep",
    ]


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 1], 1), ([0, 2], 1), ([2, 2], 2), ([1, 2], 1), ([74, 74], 74), ([0, 74], 1)],
)
def test_the_exit_code(codes: list[int], code: int) -> None:
    assert exit_code(codes) == code
