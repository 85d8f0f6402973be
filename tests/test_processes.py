"""Whole runs of engine=processes: the bits of engine=serial, and no process or file remains however a run ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.nn import functional as F

from fedlit.models import Mlp
from fedlit.tracking.logger import Logger, Row
from tests.slow import some_slow
from tests.small_runs import command, composed, go, numbers, same_bits, saved, small

CHECKOUT = Path(__file__).parents[1]
ROUNDS = 3
SMALL = {
    "rounds": ROUNDS,
    "clients": 5,
    "participation": 0.6,
    "partition": composed("partition=dirichlet").config.partition,
    "batch_size": 16,
    "model.hidden": [16],
    "evaluation.client_validation": 0.2,
}


class Killer(Logger):
    """Kills a worker when the first client of the second round has returned."""

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pass

    def client_done(self, number: int, done: int) -> None:
        if (number, done) == (2, 1):
            max(multiprocessing.active_children(), key=lambda process: process.name).kill()


class Fragile(Mlp):
    """Fails in the second round.

    With `kill_file` it removes that file and kills its process between two steps, once. With `raises` it raises for
    some first batches.
    """

    kill_file: str = ""
    raises: bool = False

    def __init__(self, input_shape: Any, classes: int, kill_file: str = "", raises: bool = False):
        super().__init__(input_shape, classes, hidden=[16])
        self.kill_file, self.raises = kill_file, raises

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.kill_file and batch_idx == 1 and getattr(self, "round", 0) == 2:
            with suppress(FileNotFoundError):  # another worker was first
                os.unlink(self.kill_file)
                os.kill(os.getpid(), signal.SIGKILL)
        if self.raises and getattr(self, "round", 0) == 2 and batch_idx == 0 and batch[1][0] < 5:
            raise ValueError("this module refuses the batch")
        return F.cross_entropy(self(batch[0]), batch[1])


def run(folder: Path, engine: str, aggregator: str = "fedavg", **changes: Any) -> list[dict[str, Any]]:
    logger = composed("logger=none").config.logger
    keys = {name.replace("__", "."): value for name, value in changes.items()}
    return go(small([f"aggregator={aggregator}", f"engine={engine}"], {**SMALL, "logger": logger, **keys}), folder)


def fragile(**options: Any) -> dict[str, Any]:
    return {"model": {"_target_": "tests.test_processes.Fragile", **options}}


def same(folder: Path, other_folder: Path) -> bool:
    """Whether two runs have the same checkpoint of the last round and the same metrics."""
    same_state = same_bits(saved(folder, ROUNDS), saved(other_folder, ROUNDS))
    return same_state and numbers(folder) == numbers(other_folder)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """aggregator -> the folder of a run in one process; fedper has client states."""
    folder = tmp_path_factory.mktemp("serial")
    for aggregator in ("fedavg", "fedper"):
        run(folder / aggregator, "serial", aggregator)
    return {aggregator: folder / aggregator for aggregator in ("fedavg", "fedper")}


EACH = [(workers, aggregator) for workers in (1, 2, 3) for aggregator in ("fedavg", "fedper")]


@pytest.mark.parametrize(("workers", "aggregator"), some_slow(EACH, [(1, "fedavg"), (3, "fedper")]))
def test_any_number_of_workers_gives_the_bits_of_the_serial_engine(
    serial: dict[str, Path], tmp_path: Path, workers: int, aggregator: str
) -> None:
    run(tmp_path / "run", "processes", aggregator, engine__workers=workers)
    assert same(tmp_path / "run", serial[aggregator])
    assert multiprocessing.active_children() == []


def test_a_run_whose_worker_is_killed_has_the_same_bits(serial: dict[str, Path], tmp_path: Path) -> None:
    run(
        tmp_path / "run",
        "processes",
        "fedper",
        engine__workers=2,
        logger={"mine": {"_target_": "tests.test_processes.Killer"}},
    )
    assert same(tmp_path / "run", serial["fedper"])


def test_a_run_whose_worker_is_killed_between_two_steps_has_the_same_bits(tmp_path: Path) -> None:
    run(tmp_path / "serial", "serial", **fragile())
    (tmp_path / "kill").touch()
    run(tmp_path / "run", "processes", engine__workers=2, **fragile(kill_file=str(tmp_path / "kill")))
    assert not (tmp_path / "kill").exists()
    assert same(tmp_path / "run", tmp_path / "serial")


def test_both_engines_leave_out_the_same_failed_clients(tmp_path: Path) -> None:
    for engine in ("serial", "processes"):
        rows = run(tmp_path / engine, engine, engine__on_failure="drop", **fragile(raises=True))
        assert 0 < rows[1]["cohort/lost"] < rows[1]["cohort/asked"]
    assert same(tmp_path / "processes", tmp_path / "serial")


@pytest.mark.parametrize(
    ("first", "second"), some_slow([("serial", "processes"), ("processes", "serial")], [("serial", "processes")])
)
def test_a_run_resumed_with_another_engine_has_the_same_bits(
    tmp_path: Path, monkeypatch: Any, first: str, second: str
) -> None:
    """The number of threads is stored with the run."""
    monkeypatch.chdir(tmp_path)
    words = ["clients=5", "participation=0.6", "batch_size=16", "model.hidden=[16]", "logger=none", "progress=none"]
    assert command(*words, f"engine={first}", "rounds=2", "hydra.run.dir=run") == 0
    threads = saved(tmp_path / "run", 2)["bits"]["threads"]
    assert command("resume=run", f"engine={second}", f"rounds={ROUNDS}") == 0
    assert saved(tmp_path / "run", ROUNDS)["bits"]["threads"] == threads
    assert command(*words, f"threads={threads}", f"rounds={ROUNDS}", "hydra.run.dir=uninterrupted") == 0
    assert same(tmp_path / "run", tmp_path / "uninterrupted")


# --- how a run ends: each command runs in a session of its own, so that the test can find its remaining processes

SLOW = """
import time
import torch
from torch import nn
from torch.nn import functional as F
import lightning as L

class Net(L.LightningModule):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        self.unpicklable = lambda x: x

    def training_step(self, batch, batch_idx):
        time.sleep(0.02)
        return F.cross_entropy(self.layers(batch[0]), batch[1])
"""


def start(folder: Path, *engine: str, **environment: str) -> subprocess.Popen[str]:
    (folder / "mine.py").write_text(SLOW)
    words = ["model._target_=mine.Net", *engine, "clients=4", "rounds=100000"]
    words += ["checkpoint.every=0", "progress=none", "logger=none", "hydra.run.dir=run"]
    return subprocess.Popen(
        [sys.executable, "-m", "fedlit.run", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def in_session(session: int) -> dict[str, str]:
    """The processes of a session: number -> command line."""
    commands = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, process_session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(process_session) == session and state != "Z":
                commands[path.name] = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # the process has ended
    return commands


def wait_for_rounds(process: subprocess.Popen[str], run: Path, rounds: int) -> None:
    deadline = time.monotonic() + 200
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < rounds:
        if process.poll() is not None or time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"the run did not reach round {rounds}: {process.communicate()}")
        time.sleep(0.01)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_too_long_a_temporary_folder_is_one_sentence(tmp_path: Path) -> None:
    files = tmp_path / ("x" * 120)
    files.mkdir()
    process = start(tmp_path, "engine=processes", TMPDIR=str(files))
    printed, errors = process.communicate(timeout=100)
    assert (process.returncode, printed, errors.count("\n")) == (2, "", 1)
    assert f"{files}, the folder of temporary files" in errors and "TMPDIR=/tmp" in errors


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", ["ctrl-c", pytest.param("kill", marks=pytest.mark.slow)])
def test_no_process_or_file_remains_after_ctrl_c_or_kill(tmp_path: Path, short_folder: Path, how: str) -> None:
    files = short_folder  # of the run's temporary files: the path of a socket has at most 107 bytes
    process = start(tmp_path, "engine=processes", "engine.workers=2", TMPDIR=str(files))
    wait_for_rounds(process, tmp_path / "run", 2)
    numbers = list(in_session(process.pid))
    assert len(numbers) >= 4, "main process, fork server, two workers"
    if how == "ctrl-c":
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # to all processes, as a terminal does
        printed, errors = process.communicate(timeout=100)
        assert process.returncode == 130, errors
        assert time.monotonic() - begin < 20
        assert errors == "" and printed.startswith("stopped after round ")
        rounds_done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        assert saved(tmp_path / "run", rounds_done)["round"] == rounds_done
    else:
        process.kill()
        process.communicate()
    deadline = time.monotonic() + 30
    while in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert in_session(process.pid) == {}
    assert not [name for name in os.listdir("/dev/shm") if any(f"_{number}_" in name for number in numbers)]
    assert [path.name for path in files.glob("pymp*")] == []


def test_no_process_remains_after_an_error(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["clients=3", "rounds=2", "threads=1", "logger=none", "progress=none", "hydra.run.dir=run"]
    assert command(*words, "engine=processes", "optimizer.lr=1e38") == 2
    assert "NaN or infinite" in capsys.readouterr().err
    assert multiprocessing.active_children() == []
    assert command(*words, "hydra.run.dir=other", "engine=processes", "aggregator=fedper", "aggregator.head=none") == 2
    assert "fits no name" in capsys.readouterr().err
    assert multiprocessing.active_children() == []
