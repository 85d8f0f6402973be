"""A worker process. It receives data and module once, the broadcast once a round, then chunks of clients."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process, util
from typing import Any

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.data import Samples
from fedlit.data.fingerprint import SampleNumbers, same_samples, some_samples
from fedlit.engines.channel import Channel
from fedlit.engines.failures import Failed
from fedlit.engines.machine import on_gpu, set_up_process
from fedlit.engines.module_copy import ModuleCopy
from fedlit.engines.serialization import Packed, map_shared, unpack
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.run_log import CopiedStream, log_warnings, note
from fedlit.training import Cohort, JobData, Returned, Trainer, Worker
from fedlit.training.worker import ClientTask
from fedlit.user_imports import UserModule, import_again


@dataclass
class WorkerSetup:
    """What a worker is built from, apart from the data."""

    trainer: Trainer
    module: ModuleCopy
    measure: Measure
    log_level: int
    samples: dict[str, SampleNumbers | None]  # some samples of the main process, to compare

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        module: LightningModule,
        data: JobData,
        measure: Measure,
        rebuild: Callable[[], LightningModule] | None,
    ) -> WorkerSetup:
        """In the main process, with the arguments of `Engine.start`."""
        samples = {name: some_samples(samples) for name, samples in _by_set(data).items()}
        return cls(trainer, ModuleCopy.of(module, rebuild), measure, logging.getLogger().getEffectiveLevel(), samples)

    def worker(self, data: JobData, gpu: int | None) -> Worker:
        """In the worker process: the worker.

        Raises:
            InputError: the samples are others than in the main process.
        """
        for name, samples in _by_set(data).items():
            if not same_samples(samples, self.samples[name]):
                raise InputError(
                    f"engine: a worker process reads other {name} samples than the main process: they depend on a "
                    "variable outside of the data set, such as a global one or an attribute of a class; keep it in "
                    "the data set (self), or write engine=serial."
                )
        logging.getLogger().addHandler(logging.NullHandler())  # the main process's own worker logs the same messages
        logging.getLogger().setLevel(self.log_level)
        return on_gpu(self.trainer, gpu).worker(self.module.restore(), data, self.measure)


def _by_set(data: JobData) -> dict[str, Samples]:
    """The samples that a worker unpickles by the user's classes: those in memory are tensors."""
    return {name: samples for name, samples in (("training", data.train), ("test", data.test)) if not samples.in_memory}


LogRecord = tuple[str, int, str]
"""Logger, level, message."""
_PRINTED = "printed"  # in place of a logger: a line that the worker has written to the terminal


@dataclass
class Reply:
    result: Returned | Failed | None  # None: the worker is ready
    records: list[LogRecord] = field(default_factory=list)

    def replay_log(self) -> None:
        """In the main process: log the messages of the worker."""
        for name, level, message in self.records:
            if name == _PRINTED:
                note(message)  # the terminal has it already
            else:
                logging.getLogger(name).log(level, "%s", message)


class LogCollector(logging.Handler):
    """Collects log records for the main process, which writes the run's log."""

    def __init__(self, records: list[LogRecord]):
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.name, record.levelno, record.getMessage()))


def run_chunk(worker: Worker, common: tuple[ClientTask, Any, Any], chunk: tuple[Any, Any, Any]) -> Returned:
    """Run a chunk of clients in a worker process.

    Args:
        common: task, broadcast, counters.
        chunk: jobs, downloads, states.
    """
    (task, broadcast, counters), (jobs, downloads, states) = common, chunk
    return worker.run(task, Cohort(jobs, broadcast, downloads, states, counters))


def serve(
    end: connection.Connection, threads: int, gpu: int | None, user_modules: Sequence[UserModule], start_method: str
) -> None:
    """The main function of the process. It returns on a "stop" message, and exits once the main process is gone.

    Args:
        start_method: the main process's default. Otherwise the workers of a DataLoader would have a fork server of
            their own, whose processes import torch again: 20 seconds instead of 0.1 on two cores.
    """
    multiprocessing.set_start_method(start_method, force=True)
    interrupts.ignore_in_worker()
    faulthandler.enable()
    set_up_process(threads)
    log_warnings()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        _Server(Channel(end), gpu, user_modules).run()
    except interrupts.Interrupted:
        pass
    except (EOFError, OSError):  # the main process closed its end, or was killed
        _exit_with_parent(1)


class _Server:
    """Answers the messages of the main process, in the order in which they come."""

    def __init__(self, channel: Channel, gpu: int | None, user_modules: Sequence[UserModule]):
        self.channel, self.gpu, self.user_modules = channel, gpu, user_modules
        self.worker: Any = None
        self.common: Any = None  # task, broadcast, counters; a Packed until a chunk needs it
        self.records: list[LogRecord] = []
        self.process = os.getpid()

    def run(self) -> None:
        sys.stdout, sys.stderr = (CopiedStream(stream, self._printed) for stream in (sys.stdout, sys.stderr))
        _, data = self.channel.receive()
        _, setup = self.channel.receive()
        self._reply(lambda: self._set_up(setup, data))
        logging.getLogger().addHandler(LogCollector(self.records))
        while True:
            kind, packed = self.channel.receive()
            if kind == "stop":
                return
            if kind == "common":
                self.common = packed
            else:
                self._reply(lambda: self._run_chunk(packed))  # noqa: B023  (called at once)

    def _reply(self, compute: Callable[[], Returned | None]) -> None:
        try:
            reply = Reply(compute(), self.records)
        except (Exception, SystemExit) as error:  # a module of the user's may end with sys.exit
            interrupts.check()  # the same signal may have ended a child process of this one
            reply = Reply(Failed.of(error), self.records)
        try:
            self.channel.send("reply", reply)
        except OSError:
            raise
        except Exception as error:  # the result of a client cannot be pickled
            self.channel.send("reply", Reply(Failed.of(error), self.records))
        self.records.clear()

    def _printed(self, line: str) -> None:
        if os.getpid() == self.process:  # not in a process of a DataLoader, which sends nothing
            self.records.append((_PRINTED, logging.INFO, line))

    def _set_up(self, packed: Packed, data: Packed) -> None:
        import_again(self.user_modules)
        setup: WorkerSetup = unpack(packed)
        self.worker = setup.worker(map_shared(data), self.gpu)

    def _run_chunk(self, packed: Packed) -> Returned:
        device = self.worker.host.layout.device
        if isinstance(self.common, Packed):
            with self.common as packed_common:
                self.common = map_shared(packed_common, device)
        return run_chunk(self.worker, self.common, unpack(packed, device))


def _exit_with_parent(timeout: float | None = None) -> None:
    """Exit as soon as the main process is gone, in the middle of a client too; remove the files that it left.

    Args:
        timeout: seconds to wait for its end; None waits without a limit.
    """
    if connection.wait([_parent_sentinel()], timeout):
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)  # holds the socket of the fork server
        os._exit(1)


def _parent_sentinel() -> Any:
    parent = parent_process()
    assert parent is not None
    return parent.sentinel
