"""A worker process: it is handed data and a module once, then what a round has in common, then chunks of clients."""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process, util
from typing import Any

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.engines.channel import Channel
from fedlit.engines.failures import Failed
from fedlit.engines.machine import on_gpu, set_up_process
from fedlit.engines.module_copy import ModuleCopy
from fedlit.engines.serialization import Parcel
from fedlit.evaluation.measure import Measure
from fedlit.training import Cohort, JobData, Returned, Trainer, Worker
from fedlit.training.worker import ClientTask


@dataclass
class Begin:
    """What a worker is made of, besides the data."""

    trainer: Trainer
    module: ModuleCopy
    measure: Measure
    level: int  # of the messages that are logged

    @classmethod
    def of(
        cls, trainer: Trainer, module: LightningModule, again: Callable[[], LightningModule] | None, measure: Measure
    ) -> Begin:
        """In the main process, with the arguments of `Engine.start`."""
        return cls(trainer, ModuleCopy.of(module, again), measure, logging.getLogger().getEffectiveLevel())

    def worker(self, data: JobData, gpu: int | None) -> Worker:
        """The worker, in its process."""
        logging.getLogger().addHandler(logging.NullHandler())  # the main process's own worker has said the same
        logging.getLogger().setLevel(self.level)
        return on_gpu(self.trainer, gpu).worker(self.module.make(), data, self.measure)


@dataclass
class Answer:
    found: Returned | Failed | None  # None: the worker is ready
    logged: list[tuple[str, int, str]] = field(default_factory=list)  # logger, level, message

    def log(self) -> None:
        """In the main process: what was logged in the worker."""
        for name, level, message in self.logged:
            logging.getLogger(name).log(level, "%s", message)


def trained(worker: Worker, common: tuple[ClientTask, Any, Any], chunk: tuple[Any, Any, Any]) -> Returned:
    """What a worker brings back of a chunk.

    Args:
        common: work, what was broadcast, counters.
        chunk: jobs, what each client receives besides, states.
    """
    (task, broadcast, counters), (jobs, downloads, states) = common, chunk
    return worker.run(task, Cohort(jobs, broadcast, downloads, states, counters))


def serve(here: connection.Connection, threads: int, gpu: int | None) -> None:
    """What the process does until it is told to stop, or the main process is gone."""
    interrupts.left_to_main()
    faulthandler.enable()
    set_up_process(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _Served(Channel(here), gpu).all()
    except interrupts.Interrupted:
        pass
    except (EOFError, OSError):  # the main process has let go, or was killed
        _end_with_parent(1)


class _Served:
    def __init__(self, here: Channel, gpu: int | None):
        self.here, self.gpu = here, gpu
        self.worker: Any = None
        self.common: Any = None  # work, what was broadcast, counters
        self.logged: list[tuple[str, int, str]] = []

    def all(self) -> None:
        """Everything that is asked for."""
        _, data = self.here.receive()
        _, begin = self.here.receive()
        self._answer(lambda: self._begin(begin, data))
        logging.getLogger().addHandler(Kept(self.logged))
        while True:
            kind, parcel = self.here.receive()
            if kind == "stop":
                return
            if kind == "common":
                self.common = parcel
            else:
                self._answer(lambda: self._chunk(parcel))  # noqa: B023  (called at once)

    def _answer(self, ask: Callable[[], Returned | None]) -> None:
        try:
            answer = Answer(ask(), self.logged)
        except interrupts.Interrupted:
            raise
        except Exception as error:
            answer = Answer(Failed.of(error), self.logged)
        try:
            self.here.put("answer", answer)
        except OSError:
            raise
        except Exception as error:  # what a client came back with cannot be pickled
            self.here.put("answer", Answer(Failed.of(error), self.logged))
        self.logged.clear()

    def _begin(self, parcel: Parcel, data: Parcel) -> None:
        begin: Begin = parcel.copied()
        self.worker = begin.worker(data.shared(), self.gpu)

    def _chunk(self, parcel: Parcel) -> Returned:
        device = self.worker.host.layout.device
        if isinstance(self.common, Parcel):
            with self.common as given:
                self.common = given.shared(device)
        return trained(self.worker, self.common, parcel.copied(device))


class Kept(logging.Handler):
    """Keeps what is logged for the main process, which has the run's log."""

    def __init__(self, kept: list[tuple[str, int, str]]):
        super().__init__()
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append((record.name, record.levelno, record.getMessage()))


def _end_with_parent(seconds: float | None = None) -> None:
    """A killed main process takes its workers along, in mid-client too; what it could not tidy up goes with them."""
    if connection.wait([_parent()], seconds):
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)  # where the fork server was listening
        os._exit(1)


def _parent() -> Any:
    parent = parent_process()
    assert parent is not None
    return parent.sentinel
