"""A run that is killed goes on; a run that began on a GPU goes on without one, and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gpu.federation import (
    CASES,
    COMMON,
    DEVICE,
    SETTINGS,
    TRAINERS,
    cpu_numbers,
    largest_difference,
    numbers,
    run,
)
from tests.small_runs import rows

pytestmark = pytest.mark.gpu

CHECKOUT = Path(__file__).parents[2]
LIMIT = 100 * int(os.environ.get("SLOWER", "1"))  # seconds for one command


def process(folder: Path, *words: str, hide_gpu: bool = False) -> subprocess.Popen[str]:
    """fedlit's command in a process of its own, in a folder; `hide_gpu`: as on a machine without a GPU."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    if hide_gpu or DEVICE == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return subprocess.Popen(
        [sys.executable, "-m", "fedlit.run", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(started: subprocess.Popen[str]) -> None:
    printed, _ = started.communicate(timeout=LIMIT)
    assert started.returncode == 0, printed


def start_words(case: str, trainer: str, rounds: int) -> list[str]:
    settings = {**SETTINGS, "rounds": rounds, "trainer.precision": "64-true", "device": "auto", "threads": 1}
    settings |= {"progress": "none", "checkpoint.every": 0, "checkpoint.keep": 99, "hydra.run.dir": "run"}
    return [*COMMON, *CASES[case], *TRAINERS[trainer], *(f"{key}={value}" for key, value in settings.items())]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_killed_run_goes_on_to_the_numbers_of_an_uninterrupted_one(tmp_path: Path, trainer: str) -> None:
    rounds = 30
    started = process(tmp_path, *start_words("fedper", trainer, rounds))
    metrics, until = tmp_path / "run" / "metrics.jsonl", time.monotonic() + LIMIT
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
        if started.poll() is not None or time.monotonic() > until:
            started.kill()
            pytest.fail(f"the run did not come to its third round: {started.communicate()[0]}")
        time.sleep(0.002)
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=LIMIT)
    assert len(rows(tmp_path / "run")) < rounds, "the run ended before the signal came"
    finish(process(tmp_path, "resume=run"))
    whole = run(tmp_path / "whole", *CASES["fedper"], *TRAINERS[trainer], rounds=rounds)
    assert largest_difference(numbers(tmp_path / "run", rounds), numbers(whole, rounds)) < 1e-9


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_run_goes_on_without_the_gpu_and_back(tmp_path: Path, trainer: str) -> None:
    finish(process(tmp_path, *start_words("fedper", trainer, 1)))
    finish(process(tmp_path, "resume=run", "rounds=2", hide_gpu=True))
    finish(process(tmp_path, "resume=run", "rounds=3"))
    assert largest_difference(numbers(tmp_path / "run"), cpu_numbers()["fedper"]) < 1e-9
