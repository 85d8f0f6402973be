"""Where jobs run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.modules.measure import Measure
from fedlit.trainers.base import ClientState, JobData, Returned, Trainer, Work, Worker
from fedlit.trainers.job import Job


class Engine(ABC):
    """Takes the chunks of a cohort, runs them on its workers and hands results back in cohort order, streaming.

    Knows nothing of algorithms.
    """

    here: Worker
    """The worker of this process: for the pooled test set, and the server's own data."""

    @abstractmethod
    def start(self, trainer: Trainer, module: LightningModule, data: JobData, measure: Measure) -> None:
        """Make the workers. The modules' first weights are those of `module`."""

    @abstractmethod
    def run(
        self,
        work: Work,
        jobs: Sequence[Job],
        down: dict[str, Any],
        own: Sequence[dict[str, Any]],
        states: Sequence[ClientState],
        counters: dict[str, Tensor],
    ) -> Iterator[Returned]:
        """`work` for all jobs (see `Worker.run`), chunk by chunk in the jobs' order."""

    def stop(self) -> None:  # noqa: B027  (an engine without workers has nothing to let go of)
        """Let go of the workers."""
