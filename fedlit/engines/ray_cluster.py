"""engine=ray: the chunks of a cohort on the machines of a Ray cluster."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.engines.base import Engine
from fedlit.engines.failures import Failures, OnFailure
from fedlit.engines.line import Line, Task
from fedlit.engines.machine import cores, gpus
from fedlit.engines.module_copy import ModuleCopy, cannot_be_sent
from fedlit.engines.parcel import as_arrays, of_arrays
from fedlit.engines.ray_worker import RayWorker
from fedlit.engines.worker_process import Begin, InWorker
from fedlit.errors import InputError
from fedlit.modules.measure import Measure
from fedlit.trainers.base import JobData, Returned, Trainer, Work
from fedlit.trainers.cohort import Cohort

log = logging.getLogger(__name__)
_GLANCE = 0.1  # seconds between two looks whether Ctrl-C was pressed


@dataclass(eq=False)
class _Actor:
    handle: Any
    asked: Any = None  # what it is to answer; None: it is idle
    task: Task | None = None  # None while it starts


class Ray(Engine):
    """The bits are those of `Serial` with as many threads, as for `Processes`. Ray restarts an actor that is gone, on
    another machine where its own is gone too; its chunk runs again there or elsewhere."""

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        on_failure: OnFailure = "raise",
    ):
        """
        Args:
            workers: actors that train; None is one a GPU of the cluster, or one a core where training runs on the CPU.
            address: of a running cluster, `host:port` or `auto`; None starts a Ray of this run's own on this machine.
            on_failure: as in `Processes`.
        """
        self.workers, self.address = workers, address
        self.failures = Failures(on_failure)
        self.ray: Any = None
        self.actors: list[_Actor] = []
        self.rounds = itertools.count()

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
        self.ray = ray = _ray()
        self.trainer = trainer
        if self.address is not None and not _answers(self.address):
            raise InputError(self._nobody("no connection"))
        local = {"num_cpus": self.workers or cores(), "_node_ip_address": "127.0.0.1"} if self.address is None else {}
        try:
            ray.init(
                address=self.address,
                include_dashboard=False if self.address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **local,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(self._nobody(" ".join(str(error).split())[:120])) from error
        level = logging.getLogger().getEffectiveLevel()
        try:
            begin = as_arrays(Begin(trainer, ModuleCopy.of(module, again), measure, level))
            held = as_arrays(data)
        except Exception as error:
            raise InputError(cannot_be_sent("the trainer, a metric or the data", error)) from error
        self.begin, self.data = ray.put(begin), ray.put(held)
        self.here = trainer.worker(module, data, measure)
        given = ray.cluster_resources()
        self.on_gpu = bool(given.get("GPU")) and getattr(trainer, "accelerator", "cpu") in ("auto", "gpu", "cuda")
        self.most = self.workers or max(1, int(given.get("GPU" if self.on_gpu else "CPU", 1)))

    def _nobody(self, why: str) -> str:
        return (
            f"engine.address={self.address}: no Ray cluster answers there ({why}); write the host:port that `ray start "
            "--head` printed, or leave it out."
        )

    def run(self, work: Work, cohort: Cohort) -> Iterator[Returned]:
        chunks = [cohort[cut] for cut in self.trainer.chunks(cohort.jobs, self.here.layout.size)]
        try:
            common = self.ray.put(as_arrays((work, cohort.down, cohort.counters)))
        except Exception as error:
            raise InputError(cannot_be_sent("the algorithm", error)) from error
        for chunk, found in self._all(next(self.rounds), common, chunks):
            if isinstance(found, Returned):
                yield self.failures.finite(found, chunk.jobs[0].round.number)
            elif found.sentence is not None:
                raise InputError(found.sentence)
            else:
                yield self.failures.failed(chunk, found.what, InWorker(found.trace), self.here.nobody())

    def stop(self) -> None:
        if self.ray is None:
            return
        for actor in self.actors:
            self.ray.kill(actor.handle)
        self.actors.clear()
        self.ray.shutdown()  # of a cluster that was joined, this run alone
        self.ray = None

    def _all(self, number: int, common: Any, chunks: list[Cohort]) -> Iterator[tuple[Cohort, Any]]:
        """The chunks with what came of each, in their order."""
        line = Line(chunks)
        while len(self.actors) < min(self.most, len(chunks)):
            self.actors.append(self._started())
        while line.waiting:
            interrupts.check()
            self._hand_out(line, number, common)
            done = line.leave()
            self._listen(line, 0 if done else _GLANCE)
            if done is not None:
                yield done.chunk, done.found

    def _started(self) -> _Actor:
        cpus = {} if self.on_gpu else {"num_cpus": 1}
        options = {"max_restarts": -1, "max_task_retries": 0, "num_gpus": 1 if self.on_gpu else 0, **cpus}
        kind = self.ray.remote(**options)(RayWorker)
        paths = [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".")]
        actor = _Actor(kind.remote(self.begin, self.data, torch.get_num_threads(), self.on_gpu, paths))
        actor.asked = actor.handle.ready.remote()
        return actor

    def _hand_out(self, line: Line, number: int, common: Any) -> None:
        for actor in self.actors:
            if actor.asked is not None:
                continue
            task = line.next()
            if task is None:
                return
            chunk = task.chunk
            actor.task = task
            actor.asked = actor.handle.chunk.remote(number, common, as_arrays((chunk.jobs, chunk.own, chunk.states)))

    def _listen(self, line: Line, seconds: float) -> None:
        """Take in what actors have to tell."""
        asked = {actor.asked: actor for actor in self.actors if actor.asked is not None}
        if not asked:
            return
        ready, _ = self.ray.wait(list(asked), num_returns=1, timeout=seconds)
        for answer in ready:
            actor = asked[answer]
            task, actor.task, actor.asked = actor.task, None, None
            try:
                found = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                line.died(task, type(error).__name__)
                actor.asked = actor.handle.ready.remote()  # answers when Ray has started it again
                continue
            if task is None:
                if found is not None:
                    raise found.as_error("an actor of Ray cannot start")
                continue
            told = of_arrays(found, self.here.layout.device)
            for name, level, message in told.logged:
                logging.getLogger(name).log(level, "%s", message)
            line.done(task, told.found, sum(len(part) for part in found))


def _answers(address: str) -> bool:
    """Whether somebody listens at a host:port; Ray would try for minutes. `auto` and the like are for Ray to find."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            'engine=ray: Ray is not installed; write pip install "fedlit[ray]", or engine=processes on one machine.'
        ) from error
    return ray
