"""The command: a kill at any moment costs nothing but time, and parties end with the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORDS = ["protocol=linear_he", "cipher=plain", "progress=none", "logger=none", "checkpoint.every=0"]


def started(folder: Path, *words: str, **options) -> subprocess.Popen:
    line = [sys.executable, "-m", "fedlit.run", *words]
    return subprocess.Popen([*line], cwd=folder, env={**os.environ, "PYTHONPATH": os.getcwd()}, **options)


def numbers(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def rounds(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def until(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, "the run has ended"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_kills_at_any_moment_leave_the_same_bits(engine, tmp_path):
    words = [*WORDS, "rounds=40", f"engine={engine}"]
    assert started(tmp_path, *words, "hydra.run.dir=whole").wait(120) == 0
    folder = tmp_path / "cut"
    for wanted, delay in ((0, 0.02), (7, 0.0), (20, 0.013), (31, 0.007)):
        words_now = [*words, "hydra.run.dir=cut"] if not rounds(folder) else ["resume=cut"]
        process = started(tmp_path, *words_now)
        until(lambda wanted=wanted: folder.exists() and rounds(folder) >= wanted, process)
        time.sleep(delay)
        process.kill()
        process.wait()
    assert started(tmp_path, "resume=cut").wait(120) == 0
    assert numbers(folder) == numbers(tmp_path / "whole")
    ledger = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    of_rounds = [
        tuple(entry[name] for name in ("round", "from", "to", "message", "part"))
        for entry in ledger
        if entry["phase"] == "round"
    ]
    assert len(of_rounds) == len(set(of_rounds))


@pytest.mark.slow
def test_ctrl_c_reaches_the_main_process_alone_and_saves_the_round(tmp_path):
    words = [*WORDS, "rounds=4000", "engine=processes", "hydra.run.dir=run"]
    process = started(tmp_path, *words, start_new_session=True, stdout=subprocess.PIPE, text=True)
    until(lambda: rounds(tmp_path / "run") >= 3, process)
    parties = [int(pid) for pid in children(process.pid)]
    assert len(parties) >= 3
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with: python -m fedlit.run resume=run" in out
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in parties):
        assert time.monotonic() < deadline, "a party goes on"
        time.sleep(0.05)
    assert rounds(tmp_path / "run") == json.loads((tmp_path / "run" / "summary.json").read_text())["rounds"]


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
