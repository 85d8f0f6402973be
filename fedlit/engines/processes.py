"""engine=processes: the chunks of a cohort in parallel, in worker processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule

from fedlit.data.samples import TensorSamples
from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure
from fedlit.engines.machine import gpus
from fedlit.engines.module_copy import cannot_be_sent
from fedlit.engines.pool import Pool, warm_up
from fedlit.engines.serialization import Packed, map_shared, pack
from fedlit.engines.worker_process import WorkerSetup
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.plurals import counted
from fedlit.this_machine import cores
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask

log = logging.getLogger(__name__)


class Processes(Engine):
    """Same bits as `Serial` with the same number of threads: same chunks, and results in the same order."""

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
        warm_up()  # the imports run while data and model are built
        return self

    def default_threads(self, trainer: Trainer) -> int:
        """The cores, divided by the workers; independent of the cohort, and stored with the run."""
        return max(1, cores() // self._max_workers(trainer))

    def _max_workers(self, trainer: Trainer) -> int:
        return self.workers or len(gpus(trainer)) or cores()

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        rebuild: Callable[[], LightningModule] | None = None,
    ) -> None:
        threads, max_workers = torch.get_num_threads(), self._max_workers(trainer)
        if max_workers > 1 and max_workers * threads > cores() and not gpus(trainer):
            each, shared = counted(threads, "thread"), counted(cores(), "core")
            log.warning("%d workers with %s each compete for %s", max_workers, each, shared)
        packed_data = _pack_data(data)
        setup = _pack(WorkerSetup.of(trainer, module, data, measure, rebuild), "the trainer or a metric")
        _use_shared_memory(data, packed_data)
        self.local_worker = trainer.worker(module, data, measure)
        device = self.local_worker.host.layout.device
        self.pool = Pool(max_workers, packed_data, setup, threads, gpus(trainer), device)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        assert self.pool is not None, "the engine has not been started"
        chunks = [cohort[rows] for rows in self.local_worker.chunks(cohort.jobs)]
        with _pack((task, cohort.broadcast, cohort.counters), "the algorithm") as common:
            for chunk, result in self.pool.run(common, chunks):
                yield self.failures.check(chunk, result, self.local_worker)

    def stop(self) -> None:
        if self.pool is not None:
            self.pool.stop()
            self.pool = None


def _pack_data(data: JobData) -> Packed:
    """Without the user's data module if that cannot be pickled: few modules read it."""
    try:
        return pack(data)
    except Exception as error:
        return _pack(data.without_users(error), "the data")


def _pack(value: Any, name: str) -> Packed:
    try:
        return pack(value)
    except Exception as error:
        raise InputError(cannot_be_sent(name, error)) from error


def _use_shared_memory(data: JobData, packed: Packed) -> None:
    """Move this process's samples into the memory that the workers map, so that they are in memory once."""
    mapped: JobData = map_shared(packed)
    for samples, mapped_samples in ((data.train, mapped.train), (data.test, mapped.test)):
        if isinstance(samples, TensorSamples):
            assert isinstance(mapped_samples, TensorSamples)
            for tensor, mapped_tensor in zip(samples.tensors, mapped_samples.tensors, strict=True):
                tensor.data = mapped_tensor
