"""engine=ray: the chunks of a cohort on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch import LightningModule

from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure
from fedlit.engines.machine import cores, gpus, named_gpus, uses_gpus
from fedlit.engines.module_copy import cannot_be_sent
from fedlit.engines.ray_actors import RayActors
from fedlit.engines.ray_session import RaySession
from fedlit.engines.serialization import as_arrays
from fedlit.engines.worker_process import Begin
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import Cohort, JobData, Returned, Trainer
from fedlit.training.worker import ClientTask


class Ray(Engine):
    """The bits are those of `Serial` with as many threads, as for `Processes`; lost actors and machines change none."""

    def __init__(self, workers: int | None = None, address: str | None = None, on_failure: OnFailure = "raise"):
        """
        Args:
            workers: actors that train; None is one a GPU of the cluster, or one a core where training runs on the CPU.
            address: of a running cluster, `host:port` or `auto`; None starts a Ray of this run's own on this machine.
            on_failure: as in `Processes`.
        """
        self.workers, self.address = workers, address
        self.failures = Failures(on_failure)
        self.session: RaySession | None = None
        self.actors: RayActors | None = None

    def default_threads(self, trainer: Trainer) -> int:
        """The cores shared out; one of a cluster's, whose machines may differ."""
        if self.address is not None:
            return 1
        return max(1, cores() // (self.workers or len(gpus(trainer)) or cores()))

    def start(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        again: Callable[[], LightningModule] | None = None,
    ) -> None:
        self.session = RaySession(self.address, self.workers or cores())
        gpu = uses_gpus(trainer) and self.session.has("GPU") > 0
        if gpu and named_gpus(trainer):
            raise InputError(
                f"trainer.devices={named_gpus(trainer)}: Ray itself gives each worker a GPU; write trainer.devices=1, "
                "and CUDA_VISIBLE_DEVICES=... before the command, or before `ray start`, where it shall use no others."
            )
        begin = self._put(Begin.of(trainer, module, again, measure), "the trainer or a metric")
        held = self._put(data, "the data")
        self.local_worker = trainer.worker(module, data, measure)
        most = self.workers or max(1, self.session.has("GPU" if gpu else "CPU"))
        self.actors = RayActors(self.session.ray, most, held, begin, gpu, self.local_worker.host.layout.device)

    def run(self, task: ClientTask, cohort: Cohort) -> Iterator[Returned]:
        assert self.actors is not None, "the engine has not been started"
        chunks = [cohort[cut] for cut in self.local_worker.chunks(cohort.jobs)]
        common = self._put((task, cohort.broadcast, cohort.counters), "the algorithm")
        for chunk, result in self.actors.run(common, chunks):
            yield self.failures.checked(chunk, result, self.local_worker)

    def stop(self) -> None:
        if self.actors is not None:
            self.actors.stop()
        if self.session is not None:
            self.session.leave()
        self.actors = self.session = None

    def _put(self, value: Any, what: str) -> Any:
        """A value in Ray's store of objects, for all actors."""
        assert self.session is not None
        try:
            arrays = as_arrays(value)
        except Exception as error:
            raise InputError(cannot_be_sent(what, error)) from error
        return self.session.ray.put(arrays)
