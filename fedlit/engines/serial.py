"""engine=serial: one chunk of clients after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure, one_by_one
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.stop import Stop
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask


class Serial(Engine):
    """One worker, in the main process."""

    def __init__(self, on_failure: OnFailure = "raise"):
        """
        Args:
            on_failure: if a client raises or its update is not finite: "raise" ends the run, "drop" leaves the client
                out of the round as if it had not been sampled.
        """
        self.failures = Failures(on_failure)

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        rebuild: Callable[[], LightningModule] | None = None,
    ) -> None:
        self.local_worker = trainer.worker(module, data, measure)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        for rows in self.local_worker.chunks(cohort.jobs):
            yield from self._run_chunk(task, cohort[rows])

    def _run_chunk(self, task: ClientTask, chunk: Cohort) -> Iterator[Returned]:
        interrupts.check()
        try:
            returned = self.local_worker.run(task, chunk)
        except (InputError, Stop):
            raise
        except (Exception, SystemExit) as error:  # a module of the user's may end with sys.exit
            message = f"{type(error).__name__}: {error}"
            if len(chunk) == 1:
                yield self.failures.client_failed(chunk, message, error, self.local_worker)
                return
            single_clients = one_by_one(chunk, message)
        else:
            yield self.failures.check_finite(returned, chunk.jobs[0].round.number)
            return
        for client in single_clients:
            yield from self._run_chunk(task, client)
