"""Workloads: data, shards, cohorts and networks, generated once and saved, so that all contenders train on the same.

It does not import fedlit, because the environments of other frameworks read it too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CLASSES = 10


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    clients: int
    samples: int  # of a client; the median if shards are unequal
    shape: tuple[int, ...]
    network: str  # one of NETWORKS
    per_round: int
    batch_size: int
    optimizer: str  # "sgd" or "adam"
    lr: float
    epochs: int = 1
    spread: float = 0.0  # sigma of log-normal shard sizes; 0: all equal
    rounds: int = 5  # that are measured by default

    def sizes(self) -> np.ndarray:
        """(clients,) training samples; at least two if shards are unequal."""
        if not self.spread:
            return np.full(self.clients, self.samples)
        drawn = self.samples * np.exp(self.spread * np.random.default_rng(1).normal(size=self.clients))
        return np.maximum(2, np.round(drawn)).astype(int)

    def steps(self, cohort: Iterable[int]) -> int:
        """Optimiser steps of a round."""
        return int(sum(-(-size // self.batch_size) for size in self.sizes()[list(cohort)]) * self.epochs)


_MASSIVE = Workload("W3", "massive", 1000, 50, (64,), "mlp", 100, 10, "sgd", 0.1, rounds=15)
_UNEQUAL = replace(_MASSIVE, name="W3u", title="massive, unequal shards", samples=30, spread=1.0)
WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "cross-silo", 5, 2000, (3, 32, 32), "lecture_cnn", 5, 128, "adam", 1e-4, rounds=5),
        Workload("W2", "cross-device", 100, 300, (1, 28, 28), "small_cnn", 10, 32, "sgd", 0.1, rounds=21),
        _MASSIVE,
        _UNEQUAL,
        replace(_UNEQUAL, name="W3a", title="unequal shards, Adam", optimizer="adam", lr=1e-3, epochs=5, rounds=5),
    )
}  # fmt: skip


# The shape of the CIFAR-10 benchmark that pfl-research publishes; measured on a GPU (benchmarks/on_gpu.py).
CIFAR10 = Workload("C10", "pfl's CIFAR-10", 1000, 50, (3, 32, 32), "pfl_cnn", 50, 10, "sgd", 0.1, rounds=5)


class _PlaceMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


def _lecture_cnn(shape: tuple[int, ...]) -> nn.Module:
    """The same layers as fedlit's `model=lecture_cnn`, in their order."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 128, 3, padding=1),
        nn.ReLU(),
        _PlaceMean(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES),
    )


def _small_cnn(shape: tuple[int, ...]) -> nn.Module:
    """conv 16, pool, conv 32, pool, fc."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (shape[1] // 4) * (shape[2] // 4), CLASSES),
    )


def _pfl_cnn(shape: tuple[int, ...]) -> nn.Module:
    """conv 32, conv 64, pool, fc 128, fc, with two dropouts and Glorot's first weights: pfl-research's `simple_cnn`."""
    side = [(size - 4) // 2 for size in shape[1:]]
    network = nn.Sequential(
        nn.Conv2d(shape[0], 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * side[0] * side[1], 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, CLASSES),
    )
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return network


def _mlp(shape: tuple[int, ...]) -> nn.Module:
    """64-64-10 for inputs of 64: the same layers as fedlit's `model=mlp model.hidden=[64]`."""
    return nn.Sequential(nn.Linear(shape[0], 64), nn.ReLU(), nn.Linear(64, CLASSES))


NETWORKS: dict[str, Callable[[tuple[int, ...]], nn.Module]] = {
    "lecture_cnn": _lecture_cnn,
    "small_cnn": _small_cnn,
    "pfl_cnn": _pfl_cnn,
    "mlp": _mlp,
}


@dataclass
class Task:
    """A saved workload."""

    workload: Workload
    x: Tensor
    y: Tensor
    ends: np.ndarray  # (clients,) a client's samples end here: shards lie one after the other
    cohorts: np.ndarray  # (rounds, per_round)
    start: list[Tensor]  # first weights, in the order of the network's parameters

    def cohort(self, number: int) -> list[int]:
        """The clients of a round; numbers begin with 1."""
        return self.cohorts[number - 1].tolist()

    def shard(self, client: int) -> range:
        return range(int(self.ends[client - 1]) if client else 0, int(self.ends[client]))

    def network(self) -> nn.Module:
        """The network with the first weights."""
        network = NETWORKS[self.workload.network](self.workload.shape)
        with torch.no_grad():
            for parameter, first in zip(network.parameters(), self.start, strict=True):
                parameter.copy_(first)
        return network

    def optimizer(self) -> Callable[[Iterable[Tensor]], torch.optim.Optimizer]:
        w = self.workload
        return partial({"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[w.optimizer], lr=w.lr)


def save(workload: Workload, file: Path, start: list[Tensor], cohorts: np.ndarray) -> None:
    """Make the data, of which the classes can be learned, and save them with first weights and cohorts."""
    sizes = workload.sizes()
    arrays: dict[str, Any] = {f"start_{i:03d}": tensor.numpy() for i, tensor in enumerate(start)}
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, *workload.shape), dtype=np.float32)
    for part, count in (("train", int(sizes.sum())), ("test", workload.clients)):
        y = rng.integers(0, CLASSES, count)
        x = rng.standard_normal((count, *workload.shape), dtype=np.float32)
        x += 0.2 * centres[y]
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(file, workload=json.dumps(asdict(workload)), ends=np.cumsum(sizes), cohorts=cohorts, **arrays)


def load(file: str | Path) -> Task:
    """A saved workload."""
    with np.load(file) as saved:
        facts = json.loads(str(saved["workload"]))
        workload = Workload(**facts | {"shape": tuple(facts["shape"])})
        start = [torch.from_numpy(saved[n]) for n in sorted(n for n in saved.files if n.startswith("start_"))]
        x, y = torch.from_numpy(saved["x_train"]), torch.from_numpy(saved["y_train"])
        return Task(workload, x, y, saved["ends"], saved["cohorts"], start)
