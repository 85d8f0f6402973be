"""The clients of a round with what each is handed: what an engine takes, cuts into chunks and gives to its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedlit.training.job import Job

ClientState = dict[str, Any]  # by whose it is: "algorithm", an upload's name, "optimizer"; rows without leading axis


@dataclass
class Cohort:
    jobs: Sequence[Job]  # K, longest shard first
    broadcast: dict[str, Any]  # what was broadcast, without leading axis
    downloads: Sequence[dict[str, Any]]  # K: what each client receives besides
    states: Sequence[ClientState]  # K
    counters: dict[str, Tensor]  # the server's integer buffers, by name

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, cut: slice) -> Cohort:
        return Cohort(self.jobs[cut], self.broadcast, self.downloads[cut], self.states[cut], self.counters)
