"""The worker processes of a user's loader: kept, the same bits as without them, and gone at the end."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, get_worker_info

from fedlit.data import LoadedSamples
from fedlit.data.fingerprint import some_samples
from fedlit.data.loader_workers import no_workers_left
from tests.small_runs import command

PARTS = [np.array([3, 1]), np.array([4]), np.array([19, 0, 2]), np.array([7]), np.array([8, 9])]


class Read(Dataset[Any]):
    """Each sample is its number, a draw, the process that read it, and how many samples that process has read."""

    def __init__(self) -> None:
        self.count = 0

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> Any:
        self.count += 1
        if i == 13:
            raise ValueError("sample 13 is broken")
        if i == 14 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return i, torch.rand(()).item(), os.getpid(), self.count


@pytest.fixture(autouse=True)
def all_are_stopped() -> Iterator[None]:
    before = set(multiprocessing.active_children())
    with no_workers_left():
        yield
    assert set(multiprocessing.active_children()) <= before


def read(samples: LoadedSamples, parts: list[np.ndarray] = PARTS, key: int = 0) -> list[list[Any]]:
    return [torch.stack([part.double() for part in batch]).tolist() for batch in samples.batches(parts, key)]


def processes(batches: list[list[Any]]) -> set[float]:
    return {pid for batch in batches for pid in batch[2]}


def contents(batches: list[list[Any]]) -> list[Any]:
    return [batch[:2] for batch in batches]


@pytest.mark.parametrize(
    "settings",
    [
        {"num_workers": 2},
        {"num_workers": 1, "prefetch_factor": 4, "timeout": 60},
        pytest.param({"num_workers": 2, "multiprocessing_context": "spawn"}, marks=pytest.mark.slow),
        pytest.param({"num_workers": 2, "multiprocessing_context": "forkserver"}, marks=pytest.mark.slow),
        pytest.param({"num_workers": 3, "pin_memory": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_processes_are_kept_and_give_the_same_bits(settings: dict[str, Any]) -> None:
    samples, alone = LoadedSamples(Read(), **settings), LoadedSamples(Read())
    clients = [read(samples, PARTS[: 2 + c % 3], key=c) for c in range(5)]
    assert [contents(c) for c in clients] == [contents(read(alone, PARTS[: 2 + c % 3], key=c)) for c in range(5)]
    used = set().union(*map(processes, clients))
    assert len(used) == settings["num_workers"] and os.getpid() not in used
    assert max(count for batch in clients[-1] for count in batch[3]) > 5  # the dataset of a process lives on
    assert list(samples.batches([])) == []


def test_iterations_that_are_open_together_have_processes_of_their_own() -> None:
    samples, alone = LoadedSamples(Read(), num_workers=1), LoadedSamples(Read())
    for _ in range(2):
        outer, together = [], []
        for batch in samples.batches(PARTS, 1):
            outer.append(batch)
            together.append(contents(read(samples, key=2)))
        assert [b[0].tolist() for b in outer] == [part.tolist() for part in PARTS]
        assert together == [contents(read(alone, key=2))] * len(PARTS)
    pairs = list(zip(samples.batches(PARTS, 1), samples.batches(PARTS[::-1], 2), strict=True))
    assert [a[0].tolist() for a, _ in pairs] == [b[0].tolist() for _, b in pairs][::-1]
    assert len(multiprocessing.active_children()) == 2


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_an_abandoned_iteration_leaves_nothing_for_the_next(taken: int) -> None:
    samples = LoadedSamples(Read(), num_workers=2)
    first = processes(read(samples))
    iteration = samples.batches(PARTS, 1)
    for _ in range(taken):
        next(iteration)
    iteration.close()
    again = read(samples, PARTS[::-1], 3)
    assert contents(again) == contents(read(LoadedSamples(Read()), PARTS[::-1], 3))
    assert processes(again) == first


@pytest.mark.parametrize(("number", "error"), [(13, "sample 13 is broken"), (14, ".*")])  # a dead worker has several
def test_after_an_error_new_processes_load(number: int, error: str) -> None:
    samples = LoadedSamples(Read(), num_workers=1)
    first = processes(read(samples))
    with pytest.raises((ValueError, RuntimeError, OSError, EOFError), match=error):
        list(samples.batches([np.array([1]), np.array([number]), np.array([2])]))
    again = read(samples)
    assert contents(again) == contents(read(LoadedSamples(Read()))) and not processes(again) & first
    assert len(multiprocessing.active_children()) == 1


def test_a_process_that_ended_between_two_iterations_is_replaced() -> None:
    samples = LoadedSamples(Read(), num_workers=1)
    (pid,) = processes(read(samples))
    with pytest.raises(RuntimeError, match="killed by signal"):  # raised by torch's handler of SIGCHLD, once
        os.kill(int(pid), signal.SIGKILL)
        for _ in range(100):
            time.sleep(0.1)
    assert contents(read(samples)) == contents(read(LoadedSamples(Read())))


@pytest.mark.parametrize("copied", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_samples_with_running_processes_can_be_copied(copied: Any) -> None:
    samples = LoadedSamples(Read(), num_workers=1)
    first = read(samples)
    other = read(copied(samples))
    assert contents(other) == contents(first) and not processes(other) & processes(first)
    assert processes(read(samples)) == processes(first)


def test_processes_end_with_their_samples() -> None:
    samples = LoadedSamples(Read(), num_workers=2)
    read(samples)
    assert len(multiprocessing.active_children()) == 2
    del samples
    assert not multiprocessing.active_children()


def read_and_end(samples: LoadedSamples, pids: Any, wait: float = 0) -> None:
    pids.put(processes(read(samples)))
    time.sleep(wait)


def test_processes_end_at_once_with_the_process_that_reads() -> None:
    context = multiprocessing.get_context("fork")
    pids = context.SimpleQueue()
    reader = context.Process(target=read_and_end, args=(LoadedSamples(Read(), num_workers=2), pids))
    reader.start()
    loading = pids.get()
    reader.join(4)  # torch kills a process that does not end within 5 seconds
    assert reader.exitcode == 0
    assert len(loading) == 2 and not any(running(int(pid)) for pid in loading)


def test_processes_end_at_once_when_the_process_that_reads_is_killed() -> None:
    context = multiprocessing.get_context("fork")
    pids = context.SimpleQueue()
    reader = context.Process(target=read_and_end, args=(LoadedSamples(Read(), num_workers=2), pids, 60))
    reader.start()
    loading = pids.get()
    reader.kill()
    reader.join()
    deadline = time.monotonic() + 3  # torch looks every 5 seconds whether the parent of a process lives
    while any(running(int(pid)) for pid in loading) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(loading) == 2 and not any(running(int(pid)) for pid in loading)


class InWorker(Dataset[Any]):
    """A generator of its own that only a worker process has."""

    rng: Any = None

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        return i if self.rng is None else self.rng.normal()


def give_generator(worker: int) -> None:
    get_worker_info().dataset.dataset.rng = np.random.default_rng(worker)


def test_a_generator_that_only_a_worker_process_has_is_noticed() -> None:
    assert some_samples(LoadedSamples(InWorker(), num_workers=1)) is not None
    assert some_samples(LoadedSamples(InWorker(), num_workers=1, worker_init_fn=give_generator)) is None


USER = """
import multiprocessing, os, signal, time
import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

class Items(Dataset):
    targets = [i % 2 for i in range(24)]
    def __len__(self):
        return 24
    def __getitem__(self, i):
        if torch.utils.data.get_worker_info() is not None:
            with open("pids", "a") as file:
                file.write(f"{os.getpid()}\\n")
            if os.getppid() != multiprocessing.parent_process().pid:
                open("forkserver", "w").close()
        return torch.full((3,), float(i)) + torch.rand(3), i % 2

class Data(pl.LightningDataModule):
    context = None
    def train_dataloader(self):
        return DataLoader(Items(), 4, num_workers=2, multiprocessing_context=self.context)
    def test_dataloader(self):
        return DataLoader(Items(), 4, num_workers=1, multiprocessing_context=self.context)

class Spawned(Data):
    context = "spawn"

class Net(pl.LightningModule):
    def __init__(self, signal=""):
        super().__init__()
        self.net, self.signal = torch.nn.Linear(3, 2), signal
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, batch_idx):
        if self.signal and self.round == 2:
            os.killpg(0, getattr(signal, self.signal))
            time.sleep(1)
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
"""
WORDS = ["model._target_=kept.Net", "clients=3", "rounds=3", "batch_size=4", "threads=1", "device=cpu", "progress=none"]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "kept.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, *more: str) -> tuple[int, str]:
    """A run in a session of its own."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(folder)])
    done = subprocess.run(
        [sys.executable, "-m", "fedlit.run", *WORDS, "hydra.run.dir=run", *more],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        start_new_session=True,
    )
    return done.returncode, done.stderr


def pids(folder: Path) -> set[int]:
    return set(map(int, (folder / "pids").read_text().split()))


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"  # a zombie has ended


def test_a_run_starts_the_processes_of_each_loader_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(kept))
    monkeypatch.delitem(sys.modules, "kept", raising=False)
    assert command(*WORDS, "data._target_=kept.Data", "hydra.run.dir=run") == 0
    assert len(pids(kept)) == 3
    assert not any(map(running, pids(kept)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [["engine=processes", "engine.workers=2"], ["trainer=vectorized"], ["data._target_=kept.Spawned"]]
)
def test_no_process_is_left_after_a_run(kept: Path, more: list[str]) -> None:
    code, errors = run(kept, "data._target_=kept.Data", *more)
    assert code == 0, errors
    assert "Traceback" not in errors
    assert len(pids(kept)) <= 9
    assert not any(map(running, pids(kept)))
    assert not (kept / "forkserver").exists()  # its processes would import torch for each loader


@pytest.mark.slow
@pytest.mark.parametrize("data", ["Data", "Spawned"])
@pytest.mark.parametrize("engine", ["serial", "processes"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_all_processes_ends_the_run_and_leaves_none(kept: Path, name: str, engine: str, data: str) -> None:
    code, errors = run(kept, f"data._target_=kept.{data}", f"+model.signal={name}", f"engine={engine}")
    assert code == {"SIGINT": 130, "SIGTERM": 143}[name], errors
    assert "Traceback" not in errors
    time.sleep(2)
    assert not any(map(running, pids(kept)))
