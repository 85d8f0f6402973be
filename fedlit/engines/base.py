"""The contract of `engine=`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType

from lightning.pytorch import LightningModule

from fedlit.evaluation.measure import Measure
from fedlit.this_machine import cores
from fedlit.training import Cohort, JobData, Returned, Trainer, Worker
from fedlit.training.worker import ClientTask


class Engine(ABC):
    """Cuts a cohort into chunks, runs them on its workers and yields their results in cohort order.

    It knows nothing of algorithms. Use it as a context manager, so that the workers stop however the run ends.

    Attributes:
        local_worker: the worker of this process, for the pooled test set and the server's own data.
    """

    local_worker: Worker

    @abstractmethod
    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        rebuild: Callable[[], LightningModule] | None = None,
    ) -> None:
        """Create the workers. All start with the weights of `module`.

        Args:
            rebuild: builds the same module in another process; used if the module cannot be pickled.
        """

    @abstractmethod
    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        """Run `task` for a cohort; one result a chunk, in the cohort's order."""

    def stop(self) -> None:  # noqa: B027  (an engine without worker processes has nothing to stop)
        """Stop the workers."""

    def default_threads(self, trainer: Trainer) -> int:
        """Threads of a torch operation in every process that trains, if the configuration does not set them."""
        return cores()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
