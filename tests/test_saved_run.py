"""A run folder as it is read after the run: finished, cut off at any place, or of something else."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.run_folder import FORMAT
from fedlit.saved_run import SavedRun, runs_in
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord


def write_run(folder: Path, rounds: int = 3, lines: str | None = None, **config: object) -> Path:
    """A run folder by hand: two of its rounds are in metrics.jsonl."""
    (folder / ".hydra").mkdir(parents=True)
    settings = {"rounds": rounds, "name": None, "seed": 7, **config}
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(settings)))
    (folder / ".hydra" / "overrides.yaml").write_text("- seed=7\n")
    (folder / "format.txt").write_text(f"{FORMAT}\n")
    written = '{"round": 1, "global/test/loss": 0.5}\n{"round": 2, "global/test/loss": null}\n'
    (folder / "metrics.jsonl").write_text(written if lines is None else lines)
    return folder


def test_an_unfinished_run_has_rows_and_no_summary(tmp_path: Path) -> None:
    run = SavedRun(write_run(tmp_path / "a"))
    assert run.rows[0] == {"round": 1, "global/test/loss": 0.5}
    assert math.isnan(run.rows[1]["global/test/loss"])
    assert list(run.frame.index) == [1, 2] and run.frame.loc[1, "global/test/loss"] == 0.5
    assert (run.config.seed, run.overrides, run.name) == (7, ["seed=7"], "a")
    assert (run.summary, run.clients, run.finished, run.failure, run.unread_lines) == (None, None, False, None, 0)


def test_half_written_lines_are_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", lines='{"round": 1, "x": 2}\n{"round": 2, "glo')
    (folder / "clients.jsonl").write_text('{"round": 1, "client": 4, "loss": 0.5, "used": {"loss": 3}}\n{"ro')
    (folder / "summary.json").write_text('{"rounds": ')
    run = SavedRun(folder)
    assert run.rows == [{"round": 1, "x": 2}]
    assert run.unread_lines == 2
    assert run.clients.loc[(1, 4), "used/loss"] == 3
    assert run.summary is None and not run.finished


def test_a_run_before_its_first_round_has_an_empty_frame(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "metrics.jsonl").unlink()
    (folder / "clients.jsonl").touch()
    run = SavedRun(folder)
    assert (run.rows, len(run.frame), run.frame.index.name) == ([], 0, "round")
    assert list(run.clients.index.names) == ["round", "client"]


@pytest.mark.parametrize(
    ("summary", "failure", "finished"),
    [
        ({"rounds": 2}, None, False),
        ({"rounds": 3}, None, True),
        ({"rounds": 2, "stopped": None}, None, False),
        ({"rounds": 2, "stopped": "the target was reached"}, None, True),
        ({"rounds": 1, "stopped": "the target was reached"}, None, False),  # resumed since: two rows
        ({"rounds": 3}, "the disk is full", False),
    ],
)
def test_whether_a_run_is_finished(tmp_path: Path, summary: dict, failure: str | None, finished: bool) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "summary.json").write_text(json.dumps(summary))
    if failure:
        (folder / "failure.txt").write_text(f"{failure}\n")
    run = SavedRun(folder)
    assert (run.finished, run.failure, run.summary) == (finished, failure, summary)


def test_the_configuration_is_that_of_the_newest_checkpoint_that_can_be_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    for number, text in ((9, "rounds: 9\nname: mine\n"), (10, "rounds: [")):
        checkpoint = folder / "checkpoints" / f"round_{number:04d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.yaml").write_text(text)
        (checkpoint / "overrides.yaml").write_text("- rounds=9\n")
    run = SavedRun(folder)
    assert (run.config.rounds, run.overrides, run.name) == (9, ["rounds=9"], "mine")


def test_the_runs_of_a_sweep_come_in_its_order_without_those_that_never_began(tmp_path: Path) -> None:
    for name in ("seed=1", "seed=2", "seed=10"):
        write_run(tmp_path / name)
    jobs = [RecordedJob([f"seed={seed}"], f"seed={seed}") for seed in (10, 3, 1)]
    SweepRecord(["seed=10,3,1"], "config", None, str(tmp_path), {"seed": ["10", "3", "1"]}, jobs).write(tmp_path)
    assert [run.name for run in runs_in(tmp_path)] == ["seed=10", "seed=1", "seed=2"]


@pytest.mark.parametrize("record", ['{"jobs": null}', '{"jobs', None])
def test_a_sweep_without_a_list_of_jobs_is_read_from_its_folders(tmp_path: Path, record: str | None) -> None:
    for name in ("10", "2"):
        write_run(tmp_path / name)
    (tmp_path / "multirun.yaml").touch()
    if record:
        (tmp_path / "sweep.json").write_text(record)
    assert [run.name for run in runs_in(tmp_path)] == ["2", "10"]


def test_a_run_folder_is_its_one_run(tmp_path: Path) -> None:
    [run] = runs_in(write_run(tmp_path / "a"))
    assert run.name == "a"


def test_a_folder_that_is_no_run_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "day" / "time")
    (folder / "checkpoints").mkdir()
    (tmp_path / "empty").mkdir()
    for given, sentence in (
        (tmp_path / "none", "there is no such folder"),
        (folder / "metrics.jsonl", f"this is a file; give the folder of its run, {folder}"),
        (folder / "checkpoints", f"give the folder of the run, {folder}"),
        (folder.parent, f"give one of those in it, such as {folder}"),
        (tmp_path / "empty", "this is no folder of a fedlit run; give the folder of a run"),
    ):
        with pytest.raises(InputError) as refused:
            runs_in(given)
        assert sentence in str(refused.value) and str(refused.value).startswith(str(given))


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "format.txt").write_text("1\n")
    with pytest.raises(InputError, match=f"has format 1, and this fedlit reads format {FORMAT}"):
        SavedRun(folder)


def test_reading_imports_no_torch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    code = f"""
import sys
from fedlit.saved_run import runs_in
[run] = runs_in({str(folder)!r})
assert len(run.frame) == 2 and run.config.seed == 7
print([name for name in ("torch", "lightning") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
