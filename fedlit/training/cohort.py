"""The clients of a round, and what each receives. A worker says where to cut it into chunks; an engine runs these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlit.client import ClientState
from fedlit.messages.wire import Wire, selected
from fedlit.model_vectors import tree_map
from fedlit.training.job import Job


@dataclass
class Cohort:
    """The clients of a round, or a chunk of them, before training."""

    jobs: Sequence[Job]  # K, longest shard first
    broadcast: dict[str, Any]  # what all clients receive, without leading axis
    downloads: dict[str, Any]  # what each client receives in addition, (K, ...); empty where there is nothing
    states: Sequence[ClientState]  # K
    counters: dict[str, Tensor]  # the server's integer buffers, by name

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, rows: slice) -> Cohort:
        downloads = tree_map(lambda t: t[rows], self.downloads)
        return Cohort(self.jobs[rows], self.broadcast, downloads, self.states[rows], self.counters)


@dataclass
class Returned:
    """A chunk of clients after their half of a round, in the jobs' order."""

    clients: list[int]
    wire: Wire  # the messages to the server
    states: list[ClientState]  # K new states
    examples: Tensor  # (K, 1)
    moved: list[bool]  # the client made a step in each of its fits
    facts: list[dict[str, Any]]  # K: what was noted of each client, for logs and metrics
    counters: dict[str, Tensor] = field(default_factory=dict)  # (K, ...): the integer buffers of the last fit
    failures: list[str] = field(default_factory=list)  # a sentence for each client that was lost

    def rows(self, numbers: Sequence[int]) -> Returned:
        """These rows only."""
        rows = list(numbers)
        if rows == list(range(len(self.clients))):
            return self
        return Returned(
            [self.clients[r] for r in rows],
            selected(self.wire, rows),
            [self.states[r] for r in rows],
            self.examples[rows],
            [self.moved[r] for r in rows],
            [self.facts[r] for r in rows],
            {k: v[rows] for k, v in self.counters.items()},
            self.failures,
        )
