"""A sweep by Hydra's launcher for joblib (pip install "fedlit[joblib]"): its runs are in processes of their own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fedlit.checkpoint import saved_bits
from fedlit.this_machine import cores
from tests.launched_sweeps import MINE, WORDS, end, is_installed, rounds_in, start, wait_until
from tests.small_runs import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed("hydra_joblib_launcher"), reason="hydra-joblib-launcher is not installed"),
]


def start_sweep(folder: Path, *words: str, sweep: str = "sweep") -> subprocess.Popen[str]:
    launched = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={sweep}"]
    return start(folder, *launched, *WORDS, MINE, *words)


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return end(start_sweep(folder, *words))


def processes_of(group: int) -> list[int]:
    """The processes of a group that run."""
    running = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            running.append(int(stat.parent.name))
    return running


def check_end(group: int) -> None:
    """All processes of a group end soon."""
    deadline = time.monotonic() + 60
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(group) == []


@pytest.mark.parametrize("chdir", ["false", "true"])
def test_a_refused_run_is_a_sentence_and_the_others_run(tmp_path: Path, chdir: str) -> None:
    done = sweep(tmp_path, "threads=1", "clients=3,100000", f"hydra.job.chdir={chdir}")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("clients=100000 is more than") == 1 and "Traceback" not in done.stderr
    refused, finished = (tmp_path / "sweep" / f"clients={number}" for number in (100000, 3))
    assert "clients=100000 is more than" in (refused / "run.log").read_text()
    assert len(rows(finished)) == 1 and "round 1/1" in (finished / "run.log").read_text()


def test_a_bug_keeps_its_trace_and_gives_1(tmp_path: Path) -> None:
    done = sweep(tmp_path, "threads=1", "clients=3,100000", "model.fails=true")
    assert done.returncode == 1
    assert done.stderr.count("KeyError: 'a bug'") >= 1 and "clients=100000 is more than" in done.stderr
    assert "KeyError: 'a bug'" in (tmp_path / "sweep" / "clients=3" / "run.log").read_text()


def test_runs_with_one_folder_are_refused_before_the_first(tmp_path: Path) -> None:
    done = sweep(tmp_path, "clients=3", "seed=1,2", "hydra.sweep.subdir=${clients}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("hydra.sweep.subdir: the runs `seed=1` and `seed=2` of this sweep")
    assert not (tmp_path / "sweep").exists()


def test_the_runs_share_the_cores(tmp_path: Path) -> None:
    done = sweep(tmp_path, "clients=3", "seed=1,2,3")
    assert done.returncode == 0, done.stderr
    assert "Joblib" not in done.stdout and "round 1/1" not in done.stdout  # a line for each run, no round of any
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")] == ["1/3", "2/3", "3/3"]
    threads = {saved_bits(folder)["threads"] for folder in (tmp_path / "sweep").glob("seed=*")}
    assert threads == {max(1, cores() // 2)}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_runs_which_save_themselves(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C goes to all processes of a terminal, SIGTERM to the command alone."""
    words = ["threads=1", "clients=3", "seed=1,2,3", "rounds=5000", "checkpoint.every=1000"]
    process = start_sweep(tmp_path, *words)
    folders = [tmp_path / "sweep" / f"seed={seed}" for seed in (1, 2, 3)]
    wait_until(lambda: all(rounds_in(tmp_path / "sweep", folder.name) for folder in folders[:2]), process)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    done = end(process)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "resume=sweep" in done.stdout
    for folder in folders[:2]:
        (checkpoint,) = (path for path in (folder / "checkpoints").glob("round_*") if path.name != "round_0000")
        assert int(checkpoint.name.removeprefix("round_")) == len(rows(folder))
    assert not (folders[2] / ".hydra").exists()
    check_end(process.pid)


def test_runs_end_with_a_command_that_is_killed_alone(tmp_path: Path) -> None:
    process = start_sweep(tmp_path, "threads=1", "clients=3", "seed=1,2,3", "rounds=5000", "model.seconds=0.01")
    wait_until(lambda: rounds_in(tmp_path / "sweep") > 1, process)
    process.kill()
    process.wait()
    check_end(process.pid)
    process.communicate()


def test_a_run_whose_process_is_killed_has_failed_and_the_others_finish(tmp_path: Path) -> None:
    words = ["threads=1", "clients=3", "seed=1,2", "model.dies=false,true", "rounds=3", "model.seconds=0.005"]
    done = sweep(tmp_path, *words)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    for seed in (1, 2):
        assert len(rows(tmp_path / "sweep" / f"seed={seed},dies=false")) == 3
        failed = (tmp_path / "sweep" / f"seed={seed},dies=true" / "failure.txt").read_text()
        assert failed.startswith("its process was killed; if the memory is short, write hydra.launcher.n_jobs=<fewer>")


def test_a_sweep_that_is_killed_three_times_gives_the_same_table(tmp_path: Path) -> None:
    """Twelve runs; the whole process group is killed at random moments."""
    words = ["threads=1", "clients=3", "seed=1,2,3", "model.lr=0.01,0.1", "local_epochs=1,2", "rounds=4"]
    words += ["checkpoint.every=0", "model.seconds=0.002"]
    total = 12 * 4
    draws = random.Random()
    moments = sorted(draws.uniform(0, 0.9) for _ in range(3))
    for number, moment in enumerate(moments):
        again = ["resume=sweep", "hydra.launcher.n_jobs=2"] if number else None
        process = start(tmp_path, *again) if again else start_sweep(tmp_path, *words)
        wait_until(lambda: rounds_in(tmp_path / "sweep") > moment * total, process)  # noqa: B023
        time.sleep(draws.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = end(start(tmp_path, "resume=sweep"))
    assert done.returncode == 0, (moments, done.stderr)
    assert end(start_sweep(tmp_path, *words, sweep="whole")).returncode == 0
    tables = []
    for folder in ("sweep", "whole"):
        assert end(start(tmp_path, folder, module="fedlit.report")).returncode == 0
        tables.append((tmp_path / folder / "report" / "table.csv").read_text())
    assert tables[0] == tables[1], moments
    assert len({tuple(line.split(",")[:2]) for line in tables[0].splitlines()[1:]}) == 4
    assert rounds_in(tmp_path / "sweep") == total
