"""engine=ray: the chunks of a cohort on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch import LightningModule

from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure
from fedlit.engines.machine import gpus, named_gpus, uses_gpus
from fedlit.engines.module_copy import cannot_be_sent
from fedlit.engines.ray_actors import RayActors
from fedlit.engines.ray_session import RaySession
from fedlit.engines.serialization import pack_arrays
from fedlit.engines.worker_process import WorkerSetup
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.this_machine import cores
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask


class Ray(Engine):
    """Same bits as `Serial` with the same number of threads, also if actors or machines are lost."""

    def __init__(self, workers: int | None = None, address: str | None = None, on_failure: OnFailure = "raise"):
        """
        Args:
            workers: actors that train; None is one a GPU of the cluster, or one a core where training runs on the CPU.
            address: of a running cluster, `host:port` or `auto`; None starts a local Ray for this run.
            on_failure: as in `Processes`.
        """
        self.workers, self.address = workers, address
        self.failures = Failures(on_failure)
        self.session: RaySession | None = None
        self.pool: RayActors | None = None

    def default_threads(self, trainer: Trainer) -> int:
        """The cores, divided by the workers; one on a cluster, because its machines may differ."""
        if self.address is not None:
            return 1
        return max(1, cores() // (self.workers or len(gpus(trainer)) or cores()))

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        rebuild: Callable[[], LightningModule] | None = None,
    ) -> None:
        self.session = RaySession(self.address, self.workers or cores())
        gpu = uses_gpus(trainer) and self.session.count("GPU") > 0
        if gpu and named_gpus(trainer):
            raise InputError(
                f"trainer.devices={named_gpus(trainer)}: Ray itself gives each worker a GPU; write trainer.devices=1, "
                "and set CUDA_VISIBLE_DEVICES for the command, or for `ray start`, to use certain GPUs only."
            )
        setup = self._put(WorkerSetup.of(trainer, module, data, measure, rebuild), "the trainer or a metric")
        stored_data = self._put_data(data)
        self.local_worker = trainer.worker(module, data, measure)
        max_actors = self.workers or max(1, self.session.count("GPU" if gpu else "CPU"))
        device = self.local_worker.host.layout.device
        self.pool = RayActors(self.session.ray, max_actors, stored_data, setup, gpu, device)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        assert self.pool is not None, "the engine has not been started"
        chunks = [cohort[rows] for rows in self.local_worker.chunks(cohort.jobs)]
        common = self._put((task, cohort.broadcast, cohort.counters), "the algorithm")
        for chunk, result in self.pool.run(common, chunks):
            yield self.failures.check(chunk, result, self.local_worker)

    def stop(self) -> None:
        if self.pool is not None:
            self.pool.stop()
        if self.session is not None:
            self.session.leave()
        self.pool = self.session = None

    def _put_data(self, data: JobData) -> Any:
        """As in `Processes`, without the user's data module if that cannot be pickled."""
        try:
            arrays = pack_arrays(data)
        except Exception as error:
            return self._put(data.without_users(error), "the data")
        assert self.session is not None
        return self.session.ray.put(arrays)

    def _put(self, value: Any, name: str) -> Any:
        """A reference to the value in Ray's object store, where all actors read it."""
        assert self.session is not None
        try:
            arrays = pack_arrays(value)
        except Exception as error:
            raise InputError(cannot_be_sent(name, error)) from error
        return self.session.ray.put(arrays)
