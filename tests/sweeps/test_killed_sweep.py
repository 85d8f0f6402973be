"""A sweep that is killed again and again, with all its processes, and resumed, gives the report of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlit.report.__main__ import main as report
from fedlit.saved_run import SavedRun
from tests.small_runs import numbers, same_bits, saved

ROOT = Path(__file__).parents[2]
ROUNDS = 4
WORDS = [
    "aggregator=fedavg,scaffold",
    "partition.alpha=0.5,100",
    "seed=1,2,3",
    *("partition=dirichlet", "clients=3", f"rounds={ROUNDS}", "threads=1", "device=cpu", "progress=plain"),
    *("data=synthetic", "data.sites=3", "logger=none", "checkpoint.every=0"),
    "hydra.sweep.dir=sweep",
]
RUNS = 12
RESUMED = {"resume": ["resume=sweep"], "the same command": ["--multirun", *WORDS]}


def start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "printed").open("ab") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", "fedlit.run", *words],
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def rounds_done(sweep: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in sweep.glob("*/metrics.jsonl"))


def kill_at(process: subprocess.Popen[bytes], sweep: Path, rounds: int, wait: float) -> None:
    """SIGKILL to the whole process group, some time after this number of rounds in all runs."""
    while rounds_done(sweep) < rounds:
        assert process.poll() is None, (sweep.parent / "printed").read_text()
        time.sleep(0.005)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was not killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, ["--multirun", *WORDS]).wait() == 0, (folder / "printed").read_text()
    assert report([str(folder / "sweep"), f"out={folder / 'report'}"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", RESUMED)
def test_a_killed_sweep_gives_the_same_table(whole: Path, tmp_path: Path, how: str) -> None:
    draws = random.Random(how)
    moments = sorted(draws.sample(range(RUNS * ROUNDS - 3), 3))
    for number, rounds in enumerate(moments):
        process = start(tmp_path, RESUMED[how] if number else ["--multirun", *WORDS])
        kill_at(process, tmp_path / "sweep", rounds, draws.uniform(0, 0.1))
    assert start(tmp_path, RESUMED[how]).wait() == 0, (tmp_path / "printed").read_text()
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert len(folders) == RUNS and "aggregator=scaffold,alpha=100,seed=3" in folders
    for name in folders:
        again, before = tmp_path / "sweep" / name, whole / "sweep" / name
        assert numbers(again) == numbers(before)
        assert same_bits(saved(again, ROUNDS), saved(before, ROUNDS))
        assert SavedRun(again).finished
    assert report([str(tmp_path / "sweep"), f"out={tmp_path / 'report'}"]) == 0
    tables = [(folder / "report" / "table.csv").read_bytes() for folder in (whole, tmp_path)]
    assert tables[0] == tables[1] and tables[0].count(b"\n") > 4
