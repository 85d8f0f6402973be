"""Clients of unequal shards under every trainer, for the tests of `client.collect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from fedlit.data import Samples, TensorSamples, Transform
from fedlit.evaluation.measure import Measure
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.stacks import check_stacked

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "chunks of two": (VectorizedTrainer, {"stack": "always", "chunk": 2}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
    "traced": (VectorizedTrainer, {"stack": "always", "compile": "trace"}),
}
QUICK = ["lightning", "stack"]
BATCH = 4
TRAIN = {0: range(17), 1: range(17, 26), 2: range(26, 34), 3: range(34, 35), 4: range(0)}  # longest first
VALIDATION = {0: range(35, 37), 1: range(37, 47), 2: range(0), 3: range(47, 52), 4: range(52, 53)}
WIDTH, CLASSES, N = 5, 3, 53
kinds = some_slow(KINDS, QUICK)
untraced = some_slow([kind for kind in KINDS if kind != "traced"], QUICK)  # tracing takes seconds


def data() -> tuple[Tensor, Tensor]:
    """Inputs (N, WIDTH) in 64 bits and classes (N,)."""
    rng = np.random.default_rng(3)
    return torch.tensor(rng.normal(size=(N, WIDTH))), torch.tensor(rng.integers(0, CLASSES, N))


class Net(pl.LightningModule):
    """Batch normalisation with running statistics that differ from every batch's, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.body, self.norm, self.drop = nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.head = nn.Linear(6, CLASSES)
        self.norm.running_mean += torch.linspace(-1, 1, 6)
        self.norm.running_var *= torch.linspace(0.5, 3, 6)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        scores = self.head(self.drop(torch.relu(self.norm(self.body(batch[0])))))
        loss = nn.functional.cross_entropy(scores, batch[1])
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Collecting:
    """The clients of one worker.

    Args:
        falls_back: a stack may fail, and is asked one by one.
    """

    def __init__(
        self,
        kind: str,
        module: Callable[[], pl.LightningModule] = Net,
        samples: Samples | None = None,
        transform: Transform | None = None,
        falls_back: bool = False,
        **options: Any,
    ):
        trainer, values = KINDS[kind]
        samples = TensorSamples(*data()) if samples is None else samples
        made = trainer(**({"accelerator": "cpu", "precision": "64-true"} | values | options))
        self.worker = made.worker(module(), JobData(samples, samples, transform), Measure())
        self._has_to_stack = values.get("stack") == "always" and not falls_back
        self._check_stacked()
        self.layout = self.worker.host.layout
        self.start = self.layout.read(self.worker.host.module)
        self.counters = counters(self.worker.host.module)

    def chunks(self, chosen: Sequence[int] = tuple(TRAIN), number: int = 1) -> Iterator[tuple[list[int], Any]]:
        """The clients' numbers and the clients, chunk by chunk."""
        round = Round(number, 0, list(chosen), len(TRAIN))
        jobs = [Job(c, round, BATCH, 1, np.array(TRAIN[c], int), np.array(VALIDATION[c], int)) for c in chosen]
        for rows in self.worker.chunks(jobs):
            yield list(chosen)[rows], self.worker.client(jobs[rows], self.counters, [{}] * len(jobs[rows]))
        self._check_stacked()

    def _check_stacked(self) -> None:
        if self._has_to_stack:
            check_stacked(self.worker)

    def collect(self, f: Any, *args: Any, extra: Tensor | None = None, **options: Any) -> dict[str, Tensor]:
        """The sums of all clients, (5, ...).

        Args:
            extra: (5, ...), one row a client.
        """
        chunks = []
        for numbers, client in self.chunks():
            extras = () if extra is None else (extra[numbers],)
            chunks.append(client.collect(self.start, f, *args, extras=extras, **options))
        return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


def gradient(step: Any, weights: Tensor) -> dict[str, Tensor]:
    (grad,) = torch.autograd.grad(step.loss(weights).sum(), weights)
    return {"gradient": step.examples * grad}
