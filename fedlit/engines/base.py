"""Where jobs run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from lightning.pytorch import LightningModule

from fedlit.modules.measure import Measure
from fedlit.trainers.base import JobData, Returned, Trainer, Work, Worker
from fedlit.trainers.cohort import Cohort


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
    def run(self, work: Work, cohort: Cohort) -> Iterator[Returned]:
        """`work` for a cohort, chunk by chunk in its order."""

    def stop(self) -> None:  # noqa: B027  (an engine without workers has nothing to let go of)
        """Let go of the workers."""
