"""Where jobs run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType

from lightning.pytorch import LightningModule

from fedlit.engines.machine import cores
from fedlit.evaluation.measure import Measure
from fedlit.training import Cohort, JobData, Returned, Trainer, Worker
from fedlit.training.worker import ClientTask


class Engine(ABC):
    """Takes the chunks of a cohort, runs them on its workers and hands results back in cohort order, streaming.

    Knows nothing of algorithms. A run stands in `with engine:`, so that its workers are let go of however it ends.
    """

    local_worker: Worker
    """The worker of this process: for the pooled test set, and the server's own data."""

    @abstractmethod
    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        again: Callable[[], LightningModule] | None = None,
    ) -> None:
        """Make the workers. The modules' first weights are those of `module`.

        Args:
            again: makes the same module once more, in another process; for a module that cannot be pickled.
        """

    @abstractmethod
    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        """`task` for a cohort, chunk by chunk in its order."""

    def stop(self) -> None:  # noqa: B027  (an engine without workers has nothing to let go of)
        """Let go of the workers."""

    def default_threads(self, trainer: Trainer) -> int:
        """Threads of one operation, in every process that trains, where the run does not say."""
        return cores()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
