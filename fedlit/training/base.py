"""How a chunk of clients is trained: what all trainers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.client import Client
from fedlit.data import Samples, Transform
from fedlit.evaluation.measure import Measure, Measured, Totals
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model, stack, tree_map
from fedlit.training.cohort import ClientState, Cohort
from fedlit.training.job import Job, Split


@dataclass
class JobData:
    """The samples that jobs point into, and what is done to a batch on its way."""

    train: Samples  # training and validation parts of the shards
    test: Samples  # local tests of the clients (the training set itself where they are cut from the shards)
    transform: Transform | None = None

    def samples(self, split: Split) -> Samples:
        return self.test if split == "test" else self.train


@dataclass
class Returned:
    """A chunk of clients after their half of a round, in the jobs' order."""

    clients: list[int]
    wire: Wire  # (K, ...): what travels up
    states: list[ClientState]  # K new states
    examples: Tensor  # (K, 1)
    moved: list[bool]  # the client made a step in each of its fits
    facts: list[dict[str, Any]]  # K: plain numbers for logs
    counters: dict[str, Tensor] = field(default_factory=dict)  # (K, ...): the integer buffers of the last fit
    failures: list[str] = field(default_factory=list)  # what went wrong with clients that are not here

    def rows(self, keep: Sequence[int]) -> Returned:
        """These rows only."""
        at = list(keep)
        if at == list(range(len(self.clients))):
            return self
        return Returned(
            [self.clients[r] for r in at],
            {k: v[at] for k, v in self.wire.items()},
            [self.states[r] for r in at],
            self.examples[at],
            [self.moved[r] for r in at],
            [self.facts[r] for r in at],
            {k: v[at] for k, v in self.counters.items()},
            self.failures,
        )


class ChunkClient(Client):
    """A Client over a chunk of jobs, with what the frame needs of it besides what an algorithm does."""

    jobs: Sequence[Job]
    facts: list[dict[str, Any]]

    def __init__(self, jobs: Sequence[Job], layout: Layout, optimizers: Sequence[dict[str, Any]]):
        self.jobs, self.round, self.layout = jobs, jobs[0].round, layout
        self.calls = 0  # fits so far in this round
        self._drawn: dict[str, int] = {}
        device = layout.device
        self.number = torch.tensor([[j.client] for j in jobs], device=device)
        self.examples = torch.tensor([[len(j.train)] for j in jobs], dtype=layout.dtype, device=device)
        self.moved = torch.ones(len(jobs), 1, dtype=torch.bool, device=device)
        self.facts = [{"client": j.client, "examples": len(j.train)} for j in jobs]
        self.optimizers = optimizers  # K, fit by fit: the optimisers' states from the clients' last round
        self.new_optimizers: list[dict[str, Any]] = [{} for _ in jobs]
        self.counters: dict[str, Tensor] = {}  # (K, ...) after the last fit
        self.last: Model | None = None  # (K, P), (K, S): the last fit's model

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        call = self._drawn[what] = self._drawn.get(what, -1) + 1
        return torch.stack([job.draw(kind, what, call, like) for job in self.jobs])

    @abstractmethod
    def watch_epochs(self, rows: Sequence[int]) -> None:
        """Measure these clients' test data after each local epoch of every fit to come, into `facts["epochs"]`."""

    @abstractmethod
    def measure(self, model: Model, split: Split, rows: Sequence[int]) -> list[Totals]:
        """The metrics of the models (K, P), (K, S) of these clients of the chunk on their own data of a stage, one a
        row; empty where there are no data."""


def kept_still(trained: Model, begun: Model, trainable: Model | None) -> Model:
    """A trained model whose statistics outside of `only` are as they were before."""
    if trainable is None:
        return trained
    return Model(trained.weights, torch.where(trainable.statistics, trained.statistics, begun.statistics))


Work = Callable[[ChunkClient, dict[str, Any], list[ClientState]], tuple[Wire, list[ClientState]]]
"""What clients are asked to do: `work(client, down, states)` gives what travels and the K new states. Picklable."""


class Worker(ABC):
    """A trainer with a module and data in its hands: trains chunks of clients, one after the other."""

    layout: Layout
    module: LightningModule
    data: JobData

    @abstractmethod
    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> ChunkClient:
        """A chunk of clients, longest shard first."""

    @abstractmethod
    def measure(
        self,
        model: Model,
        samples: Samples,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        confusion: int | None = None,
    ) -> Measured:
        """One model (P,), (S,) on several parts of a sample set in one pass; `clients` are whose parts they are, -1 for
        nobody's."""

    @abstractmethod
    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        """How a cohort's jobs, longest shard first, are cut: from configuration, model and cohort alone."""

    def nobody(self) -> Tensor:
        """The `examples` of a chunk without clients, (0, 1)."""
        return torch.zeros(0, 1, dtype=self.layout.dtype, device=self.layout.device)

    def run(self, work: Work, cohort: Cohort) -> Returned:
        """`work` for one chunk of a cohort."""
        k, jobs = len(cohort), cohort.jobs
        client = self.client(jobs, cohort.counters, [s.get("optimizer", {}) for s in cohort.states])
        received = tree_map(lambda t: t.expand(k, *t.shape), cohort.broadcast)
        if cohort.downloads[0]:
            received |= stack(cohort.downloads)
        wire, new = work(client, received, list(cohort.states))
        for name, tensor in wire.items():
            if tensor.shape[:1] != (k,):
                raise ValueError(
                    f"{name} of the message has shape {tuple(tensor.shape)}: its first axis is {k} clients"
                )
        for row, optimizer in zip(new, client.new_optimizers, strict=True):
            if optimizer:
                row["optimizer"] = optimizer
        moved = client.moved[:, 0].tolist()
        return Returned([j.client for j in jobs], wire, new, client.examples, moved, client.facts, client.counters)


class Trainer(ABC):
    """What is configured under `trainer=`: hyperparameters only, picklable."""

    @abstractmethod
    def worker(self, module: LightningModule, data: JobData, measure: Measure) -> Worker:
        """A worker with a module of its own."""
