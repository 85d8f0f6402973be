"""fedlit as a contender: its own command, with a logger that waits at the gate between rounds.

Everything else is fedlit's normal path: a composed configuration, its round loop, a user's data class with sites. Run
as a contender: `python -m benchmarks.ours WORDS`. This is `python -m fedlit.run WORDS`, with the number of optimiser
steps in the row of a round.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from benchmarks.contender_process import Gate
from benchmarks.memory import footprint
from benchmarks.workloads import CLASSES, NETWORKS, Workload
from fedlit.evaluation.round_record import RoundRecord
from fedlit.global_generators import seed_everything
from fedlit.models import LectureCnn, Mlp
from fedlit.randomness import generator, seed_number
from fedlit.tracking.logger import Logger, Row

FOREVER = 10**9
SEED = 0


class Data:
    """A saved workload as a user's own data: `data._target_=benchmarks.ours.Data data.file=...`."""

    classes = CLASSES

    def __init__(self, file: str):
        with np.load(file) as saved:
            self.train, self.test = (
                TensorDataset(torch.from_numpy(saved[f"x_{part}"]), torch.from_numpy(saved[f"y_{part}"]))
                for part in ("train", "test")
            )
            sizes = np.diff(saved["ends"], prepend=0)
        self.train_sites = np.repeat(np.arange(len(sizes)), sizes)
        self.test_sites = np.arange(len(sizes))


class Network(L.LightningModule):
    """A network of `NETWORKS` as a user's own module."""

    def __init__(self, input_shape: tuple[int, ...], network: str):
        super().__init__()
        self.layers = NETWORKS[network](tuple(input_shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(x), y)


class RoundGate(Logger):
    """In place of a user's logger: `logger.gate._target_=benchmarks.ours.RoundGate`.

    The work after the loggers are called is counted with the next round.
    """

    def __init__(self) -> None:
        self.gate, self.begin, self.ended = Gate(), 0.0, False

    def cohort(self, number: int, size: int) -> None:
        if not self.begin:
            self._wait({"ready": True})

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        seconds = time.perf_counter() - self.begin
        report = {"seconds": seconds, "loss": row["train/loss"], "steps": row.get("steps")}
        report |= {"fit": row["time/fit"], "aggregate": row["time/aggregate"]}
        self._wait(report | footprint(number))

    def _wait(self, report: dict) -> None:
        if not self.ended and not self.gate.wait(report):
            self.ended = True
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: fedlit saves its state and ends
        self.begin = time.perf_counter()


class CountedRecord(RoundRecord):
    """A round's record with the optimiser's steps of its clients."""

    def row(self) -> Row:
        return super().row() | {"steps": sum(int(facts["steps"]) for facts in self.facts if "steps" in facts)}


_MODELS = {
    "lecture_cnn": ["model=lecture_cnn"],
    "mlp": ["model=mlp", "model.hidden=[64]"],
}  # others are a user's own module


def words(w: Workload, file: Path, folder: Path, device: Literal["cpu", "gpu"] = "cpu") -> list[str]:
    """The command line of a workload; a combination adds its own words."""
    own_module = ["model._target_=benchmarks.ours.Network", f"model.network={w.network}"]
    return [
        "data._target_=benchmarks.ours.Data",
        f"data.file={file}",
        "partition=natural",
        *_MODELS.get(w.network, own_module),
        f"optimizer={w.optimizer}",
        f"optimizer.lr={w.lr}",
        f"clients={w.clients}",
        f"participation={w.per_round / w.clients!r}",
        f"batch_size={w.batch_size}",
        f"local_epochs={w.epochs}",
        f"seed={SEED}",
        f"rounds={FOREVER}",
        f"evaluation.every={FOREVER}",
        f"checkpoint.every={FOREVER}",
        f"device={device}",
        "progress=none",
        "logger=none",
        "logger.gate._target_=benchmarks.ours.RoundGate",
        f"hydra.run.dir={folder}",
    ]


def first_weights(w: Workload) -> list[Tensor]:
    """fedlit's initial weights, which depend on the seed and the model alone."""
    seed_everything(seed_number(SEED, "first weights"))
    module: L.LightningModule
    if w.network == "lecture_cnn":
        module = LectureCnn(w.shape, CLASSES)
    elif w.network == "mlp":
        module = Mlp(w.shape, CLASSES, hidden=[64])
    else:
        module = Network(w.shape, w.network)
    return [p.detach().clone() for p in module.parameters()]


def cohorts(w: Workload, rounds: int) -> np.ndarray:
    """(rounds, per_round) the clients that fedlit's uniform sampler draws."""
    drawn = [generator(SEED, "cohort", r + 1).choice(w.clients, w.per_round, replace=False) for r in range(rounds)]
    return np.array(drawn)


def main(arguments: list[str]) -> int:
    import fedlit.rounds
    from fedlit.run import main as run

    fedlit.rounds.RoundRecord = CountedRecord  # type: ignore[misc]
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
