"""engine=serial: one chunk of clients after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure, one_by_one
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask


class Serial(Engine):
    def __init__(self, on_failure: OnFailure = "raise"):
        """
        Args:
            on_failure: what happens when a client raises or returns no finite numbers: end the run, or leave the client
                out of the round as if it had never been asked.
        """
        self.failures = Failures(on_failure)

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        again: Callable[[], LightningModule] | None = None,
    ) -> None:
        self.local_worker = trainer.worker(module, data, measure)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        for cut in self.local_worker.chunks(cohort.jobs):
            yield from self._run(task, cohort[cut])

    def _run(self, task: ClientTask, chunk: Cohort) -> Iterator[Returned]:
        interrupts.check()
        try:
            returned = self.local_worker.run(task, chunk)
        except (InputError, interrupts.Interrupted):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if len(chunk) == 1:
                yield self.failures.lost(chunk, what, error, self.local_worker)
                return
            alone = one_by_one(chunk, what)
        else:
            yield self.failures.finite(returned, chunk.jobs[0].round.number)
            return
        for client in alone:
            yield from self._run(task, client)
