"""Folders of runs: none is shared."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fedlit.errors import InputError
from fedlit.run_folder import FORMAT, FORMAT_FILE, checkpoint_folders, claim, format_of, hold, holds_run, write_format


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
