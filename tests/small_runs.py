"""Runs of the shipped options that take a fraction of a second, in this process, and the files that they write."""

from __future__ import annotations

import copy
import functools
import json
import logging
import math
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

import fedlit.experiment
import fedlit.experiment_loggers
from fedlit.checkpoint import _plain
from fedlit.run import main
from fedlit.settings.check import check
from fedlit.settings.compose import Composed, composer
from fedlit.settings.folders import conf_folder, groups
from fedlit.stores import DiskStore
from fedlit.tracking import About, Logger, Loggers
from fedlit.tracking.logger import Row

OPTIONS = groups(conf_folder())  # group -> its options in conf/
SITES = (13, 4, 9, 6, 5)  # training samples of the sites
AWKWARD_SHAPE, AWKWARD_CLASSES = (4, 6), 3

QUIET = {
    "rounds": 1,
    "local_epochs": 1,
    "threads": 1,
    "device": "cpu",
    "progress": "none",
    "checkpoint.every": 0,
    "checkpoint.keep": 99,
}
AWKWARD = {
    "clients": len(SITES),
    "participation": 0.6,
    "rounds": 2,
    "local_epochs": 2,
    "batch_size": 4,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 0.01,
    "evaluation.client_validation": 0.2,
    "server_samples": 3,
}


class Awkward(pl.LightningModule):
    """A module with running statistics, a frozen layer, and random draws in the forward pass."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__()
        self.stem = nn.Conv1d(input_shape[0], 5, 3, padding=1)
        self.frozen = nn.Conv1d(5, 5, 1).requires_grad_(False)
        self.norm = nn.BatchNorm1d(5)  # over a length too, so that a batch of one sample can be normalised
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(5, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(torch.relu(self.norm(self.frozen(self.stem(x))))).mean(-1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)


class CtrlC(Logger):
    """Sends SIGINT when the first client of the third round has returned, but not in a resumed run."""

    number = signal.SIGINT

    def start(self, about: About) -> None:
        self.resumed = about.resumed_after > 0

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pass

    def client_done(self, number: int, done: int) -> None:
        if (number, done) == (3, 1) and not self.resumed:
            signal.raise_signal(self.number)


class Kill(CtrlC):
    """Sends SIGKILL."""

    number = signal.SIGKILL


@functools.cache
def composed(*words: str) -> Composed:
    """The configuration that the words compose to, after all checks."""
    with composer() as opened:
        return check(words, opened).composed


def small(words: Sequence[str], changes: Mapping[str, Any]) -> DictConfig:
    """The configuration of the words with other values at some keys, `QUIET` first."""
    config = copy.deepcopy(composed(*words).config)
    OmegaConf.set_struct(config, False)
    for key, value in {**QUIET, **changes}.items():
        OmegaConf.update(config, key, value, merge=False)
    return config


def go(config: DictConfig, folder: Path) -> list[dict[str, Any]]:
    """Run the experiment in a new folder to its end; returns the rows of its metrics."""
    folder.mkdir(parents=True)
    with _restored():
        assert fedlit.experiment.run(config, folder, []) == 0
    return rows(folder)


def command(*words: str) -> int:
    """Run the command with these words; returns its exit code."""
    with _restored():
        return main(list(words))


def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test draw no figures, which take most of the time."""
    monkeypatch.setattr(fedlit.experiment_loggers, "Figures", Loggers)


@contextmanager
def _restored() -> Iterator[None]:
    """Without figures, which take most of the time. Log handlers, threads and paths are restored afterwards."""
    root, path, threads = logging.getLogger(), list(sys.path), torch.get_num_threads()
    handlers, level = list(root.handlers), root.level
    try:
        with mock.patch.object(fedlit.experiment_loggers, "Figures", Loggers):
            yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:], sys.path[:] = handlers, path
        root.setLevel(level)
        torch.set_num_threads(threads)


def write_npz(file: Path, shape: Sequence[int], classes: int, sites: Sequence[int], images: bool = True) -> Path:
    """Samples with learnable classes. `sites` are the numbers of training samples; each site has three test samples."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, *shape))
    arrays = {}
    for part, sizes in (("train", sites), ("test", [3] * len(sites))):
        y = np.arange(sum(sizes)) % classes
        x = (centres[y] + rng.normal(size=(len(y), *shape))).astype(np.float32)
        arrays[f"x_{part}"] = (60 * x + 128).clip(0, 255).astype(np.uint8) if images else x
        arrays[f"y_{part}"] = y
        arrays[f"sites_{part}"] = np.repeat(np.arange(len(sizes)), sizes)
    np.savez(file, **arrays)
    return file


def write_tables(folder: Path, names: Sequence[str], columns: int, header: bool) -> None:
    """One comma separated table of fifteen rows per file name; the last column is a class, 0 or 1."""
    rng = np.random.default_rng(0)
    for name in names:
        x = rng.normal(size=(15, columns - 1))
        lines = [",".join([*(f"{v:.3f}" for v in row), str(i % 2)]) for i, row in enumerate(x)]
        head = [",".join(f"column{i}" for i in range(columns))] if header else []
        (folder / name).write_text("\n".join([*head, *lines]) + "\n")


def saved(run: Path, round: int) -> dict[str, Any]:
    """The state that a run saved after a round; with store=disk, client states are read from their file."""
    state = torch.load(run / "checkpoints" / f"round_{round:04d}" / "state.pt", weights_only=True)
    if "file" in state["clients"]:
        state["clients"] = _on_disk(run / "checkpoints", round, state["clients"])
    return state


def _on_disk(checkpoints: Path, round: int, record: dict[str, Any]) -> dict[int, Any]:
    """The clients' states at a checkpoint, from a copy of the file, because loading drops later rows."""
    with tempfile.TemporaryDirectory() as folder:
        for file in checkpoints.glob(f"{record['file']}*"):
            shutil.copy(file, folder)
        store = DiskStore()
        store.open(Path(folder), torch.device("cpu"))
        store.load(round, record)
        states = {client: _plain(state) for client, state in store.items()}
        store.close()
    return states


def tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    """Every tensor and number in nested dicts, lists and tuples, by its path."""
    if torch.is_tensor(value) or isinstance(value, int | float):
        return {name: torch.as_tensor(value)}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {path: t for key, part in pairs for path, t in tensors(part, f"{name}/{key}").items()}


def same_bits(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two saved states agree in all numbers of server, clients, counters, sampler, stages and reduction."""
    parts = "server", "clients", "counters", "sampler", "messages"
    a, b = ({part: tensors(s[part]) for part in parts} for s in (first, second))
    assert a["server"]
    return all(
        a[part].keys() == b[part].keys()
        and all(a[part][n].numpy().tobytes() == b[part][n].numpy().tobytes() for n in a[part])
        for part in parts
    )


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def numbers(run: Path) -> list[dict[str, Any]]:
    """The rows without durations."""
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows(run)]


def not_finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row that are not finite; NaN is written as null."""
    return {name: value for name, value in row.items() if value is None or not math.isfinite(value)}
