"""engine=processes: the chunks of a cohort side by side, in worker processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule

from fedlit.data.samples import TensorSamples
from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure
from fedlit.engines.machine import cores, gpus
from fedlit.engines.module_copy import cannot_be_sent
from fedlit.engines.pool import Pool, warm_up
from fedlit.engines.serialization import Parcel, pack
from fedlit.engines.worker_process import Begin
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask

log = logging.getLogger(__name__)


class Processes(Engine):
    """The bits are those of `Serial` with as many threads: chunks are cut alike and results handed over in order."""

    def __init__(self, workers: int | None = None, on_failure: OnFailure = "raise"):
        """
        Args:
            workers: processes that train; None is one a GPU, or one a core where training runs on the CPU.
            on_failure: as in `Serial`; a client whose worker is killed twice counts as one that raised.
        """
        self.workers = workers
        self.failures = Failures(on_failure)
        self.pool: Pool | None = None

    def __enter__(self) -> Engine:
        warm_up()  # while data and model are made
        return self

    def default_threads(self, trainer: Trainer) -> int:
        """The cores shared out. It looks at no cohort and no other run, and the first run's number is remembered."""
        return max(1, cores() // self._most(trainer))

    def _most(self, trainer: Trainer) -> int:
        return self.workers or len(gpus(trainer)) or cores()

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        again: Callable[[], LightningModule] | None = None,
    ) -> None:
        threads, most = torch.get_num_threads(), self._most(trainer)
        if most > 1 and most * threads > cores() and not gpus(trainer):
            log.warning(
                "%d workers of %d threads each for %d cores: they get in each other's way", most, threads, cores()
            )
        shared = _packed(data, "the data")
        begin = _packed(Begin.of(trainer, module, again, measure), "the trainer or a metric")
        _hold_once(data, shared)
        self.local_worker = trainer.worker(module, data, measure)
        self.pool = Pool(most, shared, begin, threads, gpus(trainer), self.local_worker.host.layout.device)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        assert self.pool is not None, "the engine has not been started"
        chunks = [cohort[cut] for cut in self.local_worker.chunks(cohort.jobs)]
        with _packed((task, cohort.broadcast, cohort.counters), "the algorithm") as common:
            for chunk, result in self.pool.run(common, chunks):
                yield self.failures.checked(chunk, result, self.local_worker)

    def stop(self) -> None:
        if self.pool is not None:
            self.pool.stop()
            self.pool = None


def _packed(value: Any, what: str) -> Parcel:
    try:
        return pack(value)
    except Exception as error:
        raise InputError(cannot_be_sent(what, error)) from error


def _hold_once(data: JobData, shared: Parcel) -> None:
    """Let this process's own tensors be those in shared memory, so that nothing is there twice."""
    copies = shared.shared()
    for mine, same in ((data.train, copies.train), (data.test, copies.test)):
        if isinstance(mine, TensorSamples):
            for downloads, other in zip(mine.tensors, same.tensors, strict=True):
                downloads.data = other
