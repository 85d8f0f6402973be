"""Folders of runs: none is shared."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedlit.errors import InputError
from fedlit.run_folder import (
    FORMAT,
    FORMAT_FILE,
    blocks,
    checkpoint_folders,
    claim,
    clear_start,
    format_of,
    hold,
    holds_run,
    write_format,
)
from tests.settings.conftest import write_options


def test_a_taken_folder_gets_a_number(tmp_path):
    wanted = tmp_path / "outputs" / "2025-01-31" / "12-00-00"
    assert [claim(wanted).name for _ in range(4)] == ["12-00-00", "12-00-00-2", "12-00-00-3", "12-00-00-4"]


def test_folders_claimed_at_the_same_time_differ(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: claim(tmp_path / "now"), range(64)))
    assert len(set(folders)) == 64


def test_a_held_folder_is_refused_to_another_process_until_the_first_ends(tmp_path):
    code = f"""
import time
from pathlib import Path
from fedlit.run_folder import hold
lock = hold(Path({str(tmp_path)!r}))
print("held", flush=True)
time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="is in use by another process"):
        hold(tmp_path)
    other.kill()
    other.wait()
    hold(tmp_path).release()


def test_a_folder_with_only_a_lock_holds_no_run(tmp_path):
    hold(tmp_path).release()
    assert not holds_run(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert holds_run(tmp_path)


def test_a_file_and_a_folder_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"notes.txt is a file; a run needs a folder: write hydra.run.dir=<another>."):
        hold(tmp_path / "notes.txt")
    for make in (hold, claim):
        with pytest.raises(InputError, match=r"cannot be written \(.*\); give another by hydra.run.dir="):
            make(tmp_path / "notes.txt" / "run")


def test_a_folder_without_a_format_has_the_first(tmp_path):
    assert format_of(tmp_path) == 1
    write_format(tmp_path)
    assert format_of(tmp_path) == FORMAT
    (tmp_path / FORMAT_FILE).write_text("")
    assert format_of(tmp_path) == 1


def test_checkpoints_are_listed_from_the_newest(tmp_path):
    for name in ("round_0002", "round_0010", "best", ".writing_round_0011", "round_x"):
        (tmp_path / name).mkdir()
    assert checkpoint_folders(tmp_path) == [(10, tmp_path / "round_0010"), (2, tmp_path / "round_0002")]
    assert checkpoint_folders(tmp_path / "nowhere") == []


START = {
    **{f".hydra/{name}.yaml": "" for name in ("config", "hydra", "overrides")},
    "run.log": "refused",
    FORMAT_FILE: f"{FORMAT}\n",
    ".lock": "",
    "metrics.jsonl": "",
    "partition.png": "x",
    "events.out.tfevents.1.host": "x",
    "checkpoints/round_0000/state.pt": "x",
    "checkpoints/clients.sqlite-wal": "x",
}
BLOCKING = {
    "a round": {"metrics.jsonl": "{}\n"},
    "a checkpoint": {"checkpoints/round_0003/state.pt": "x"},
    "a summary": {"summary.json": "{}"},
    "an older format": {FORMAT_FILE: f"{FORMAT - 1}\n"},
    "a newer format": {FORMAT_FILE: f"{FORMAT + 1}\n"},
    "no format": {FORMAT_FILE: None},
}


@pytest.mark.parametrize("added", BLOCKING.values(), ids=BLOCKING)
def test_a_run_with_rounds_or_of_another_kind_blocks(tmp_path, added):
    files = {name: text for name, text in {**START, **added}.items() if text is not None}
    assert blocks(write_options(tmp_path, files))


def test_an_empty_folder_and_files_of_the_user_do_not_block(tmp_path):
    assert not blocks(tmp_path / "nowhere")
    assert not blocks(write_options(tmp_path, {"notes.txt": "", "0/notes.txt": ""}))


def test_the_files_of_a_start_are_removed_and_no_other(tmp_path):
    (tmp_path / "events.out.tfevents.0.user").touch()
    os.utime(tmp_path / "events.out.tfevents.0.user", (1, 1))  # it lay here before the run
    of_user = {"notes.txt": "", ".hydra/mine.yaml": "", "checkpoints/start.pt": "", "data/metrics.jsonl": "{}"}
    write_options(tmp_path, {**of_user, **START})
    assert not blocks(tmp_path)
    clear_start(tmp_path)
    remaining = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert remaining == {*of_user, ".lock", "events.out.tfevents.0.user"}


def test_a_folder_of_another_program_with_hydra_blocks_also_as_a_sweep(tmp_path):
    write_options(tmp_path, {"multirun.yaml": "", "0/.hydra/config.yaml": "", "0/run.log": ""})
    assert blocks(tmp_path)


def test_a_sweep_blocks_if_one_of_its_runs_has_a_round(tmp_path):
    runs = {f"{job}/{name}": text for job in ("0", "a/1") for name, text in START.items()}
    write_options(tmp_path, {"multirun.yaml": "", **runs})
    assert not blocks(tmp_path)
    (tmp_path / "a" / "1" / "metrics.jsonl").write_text("{}\n")
    assert blocks(tmp_path)
    (tmp_path / "a" / "1" / "metrics.jsonl").write_text("")
    clear_start(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()] and not (tmp_path / "0").exists()


def test_a_start_that_is_resumed_is_not_removed(tmp_path):
    write_options(tmp_path, {"multirun.yaml": "", **{f"0/{name}": text for name, text in START.items()}})
    lock = hold(tmp_path / "0")
    with pytest.raises((InputError, RuntimeError)):  # filelock names a second lock of one thread a deadlock
        clear_start(tmp_path)
    lock.release()
    assert (tmp_path / "0" / "run.log").read_text() == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["hydra.run.dir=run"], ["--multirun", "seed=1,2", "hydra.sweep.dir=run"]])
def test_of_two_commands_that_start_at_the_same_moment_one_runs(tmp_path, words):
    words = ["rounds=1", "clients=2", "threads=1", "device=cpu", "logger=none", "progress=none", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fedlit.run", *words],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert sorted(code for _, code in ends) == [0, 2, 2]
    refusals = [text for text, code in ends if code == 2]
    assert all("run is in use by another process" in text or "holds a run already" in text for text in refusals)
    runs = [path.parent for path in (tmp_path / "run").rglob("metrics.jsonl")]
    assert [len((run / "metrics.jsonl").read_text().splitlines()) for run in runs] == [1] * len(runs)
