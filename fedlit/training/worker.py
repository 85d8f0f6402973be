"""A worker trains chunks of clients, one after the other, with the module of its host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit.client import ClientState
from fedlit.messages.wire import Wire
from fedlit.model_vectors import tree_map
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.cohort import Cohort, Returned
from fedlit.training.job import Job
from fedlit.training.module_host import ModuleHost

ClientTask = Callable[[ChunkClient, dict[str, Any], list[ClientState]], tuple[Wire, list[ClientState]]]
"""`task(client, received, states)` returns the messages of K clients on the wire and their new states. Picklable."""


class Worker(ABC):
    def __init__(self, host: ModuleHost):
        self.host = host

    @abstractmethod
    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        """The slices of a cohort's jobs (longest shard first) that are trained together. They depend on configuration,
        model and cohort alone."""

    @abstractmethod
    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> ChunkClient:
        """A chunk of clients, longest shard first (arguments as in `ChunkClient`)."""

    def for_trial(self, precision: str) -> Worker | None:
        """A worker like this one with a copy of the module, in another precision, that gives no warnings; None where
        there is none, and then algorithms are not tried before the run."""
        return None

    def run(self, task: ClientTask, cohort: Cohort) -> Returned:
        """Run `task` for one chunk of a cohort."""
        k, jobs = len(cohort), cohort.jobs
        client = self.client(jobs, cohort.counters, [state.get("optimizer", {}) for state in cohort.states])
        received = tree_map(lambda t: t.expand(k, *t.shape), cohort.broadcast) | cohort.downloads
        wire, new_states = task(client, received, list(cohort.states))
        for state, optimizer in zip(new_states, client.new_optimizers, strict=True):
            if optimizer:
                state["optimizer"] = optimizer
        numbers, moved = [job.client for job in jobs], client.moved[:, 0].tolist()
        return Returned(numbers, wire, new_states, client.examples, moved, client.facts, client.counters)

    def no_clients(self, failures: list[str]) -> Returned:
        """The result of a chunk whose clients were all lost."""
        layout = self.host.layout
        return Returned([], {}, [], torch.zeros(0, 1, dtype=layout.dtype, device=layout.device), [], [], {}, failures)
