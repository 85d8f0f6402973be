"""The class of a Ray actor: a worker that holds module and data, and trains chunks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from fedlit.engines.failures import Failed
from fedlit.engines.machine import set_up_process
from fedlit.engines.serialization import pack_arrays, unpack_arrays
from fedlit.engines.worker_process import LogCollector, LogRecord, Reply, WorkerSetup, run_chunk
from fedlit.run_log import log_warnings
from fedlit.training import Returned
from fedlit.user_imports import UserModule, import_again

Arrays = Sequence[np.ndarray]
"""A value as `serialization.pack_arrays` gives it: Ray's object store passes numpy arrays on without pickling them."""


class RayWorker:
    """No method raises, because Ray would treat the actor as lost: a reply carries the exception."""

    def __init__(self, threads: int, gpu: bool, folder: str, user_modules: Sequence[UserModule]):
        """
        Args:
            threads: of a torch operation.
            gpu: Ray has assigned a GPU to this actor, the only one that it sees.
            folder: the main process's working directory, entered if it exists on this machine, for relative paths.
            user_modules: imported in this order before anything is unpickled.
        """
        with suppress(OSError):
            os.chdir(folder)
        set_up_process(threads)
        log_warnings()
        self.gpu = 0 if gpu else None
        self.user_modules = user_modules
        self.worker: Any = None
        self.common: Any = None
        self.common_number = -1
        self.records: list[LogRecord] = []

    def set_up(self, setup: Arrays, data: Arrays) -> Arrays:
        """Build the worker.

        Args:
            setup: a `WorkerSetup`.
            data: a `JobData`.
        """
        return self._reply(lambda: self._set_up(setup, data))

    def run_chunk(self, common_number: int, common: Arrays, chunk: Arrays) -> Arrays:
        """Run a chunk of clients. The reply has no result if Ray restarted this actor, so that it needs `set_up`.

        Args:
            common_number: identifies `common`, which is unpacked once.
            common: task, broadcast, counters.
            chunk: jobs, downloads, states.
        """
        return self._reply(lambda: self._run_chunk(common_number, common, chunk))

    def _reply(self, compute: Callable[[], Returned | None]) -> Arrays:
        try:
            return pack_arrays(Reply(compute(), self.records))
        except (Exception, SystemExit) as error:  # also if a result cannot be pickled
            return pack_arrays(Reply(Failed.of(error), self.records))
        finally:
            self.records.clear()

    def _set_up(self, setup: Arrays, data: Arrays) -> None:
        if self.worker is None:
            import_again(self.user_modules)
            worker_setup: WorkerSetup = unpack_arrays(setup)
            self.worker = worker_setup.worker(unpack_arrays(data), self.gpu)
            logging.getLogger().addHandler(LogCollector(self.records))

    def _run_chunk(self, common_number: int, common: Arrays, chunk: Arrays) -> Returned | None:
        if self.worker is None:
            return None
        device = self.worker.host.layout.device
        if common_number != self.common_number:
            self.common, self.common_number = unpack_arrays(common, device), common_number
        return run_chunk(self.worker, self.common, unpack_arrays(chunk, device))
