"""What runs in an actor of Ray: a worker that holds module and data, and trains the chunks that it is handed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from fedlit.engines.failures import Failed
from fedlit.engines.machine import set_up_process
from fedlit.engines.serialization import as_arrays, of_arrays
from fedlit.engines.worker_process import Answer, Kept, trained
from fedlit.training import Returned

Arrays = Sequence[np.ndarray]


class RayWorker:
    """All values come and go as arrays, which Ray's store hands over without pickling them. No method raises, for Ray
    would take it for a lost actor: what went wrong is in the answer."""

    def __init__(self, threads: int, gpu: bool, folder: str):
        """
        Args:
            threads: of an operation.
            gpu: Ray has given it a GPU, the only one that it sees.
            folder: the main process's current one; it is entered where it exists, for relative paths.
        """
        with suppress(OSError):
            os.chdir(folder)
        set_up_process(threads)
        self.gpu = 0 if gpu else None
        self.worker: Any = None
        self.round = -1
        self.common: Any = None
        self.logged: list[tuple[str, int, str]] = []

    def begin(self, begin: Arrays, data: Arrays) -> Arrays:
        """Make the worker.

        Args:
            begin: a `worker_process.Begin`.
            data: a `JobData`.
        """
        return self._answer(lambda: self._begin(begin, data))

    def chunk(self, round: int, common: Arrays, chunk: Arrays) -> Arrays:
        """Train a chunk of clients; nothing is found if Ray has started this actor anew and it has yet to begin.

        Args:
            round: of `common`, which is unpacked once.
            common: work, what was broadcast, counters.
            chunk: jobs, what each client receives besides, states.
        """
        return self._answer(lambda: self._chunk(round, common, chunk))

    def _answer(self, ask: Callable[[], Returned | None]) -> Arrays:
        try:
            return as_arrays(Answer(ask(), self.logged))
        except Exception as error:  # also of a result that cannot be pickled
            return as_arrays(Answer(Failed.of(error), self.logged))
        finally:
            self.logged.clear()

    def _begin(self, begin: Arrays, data: Arrays) -> None:
        if self.worker is None:
            self.worker = of_arrays(begin).worker(of_arrays(data), self.gpu)
            logging.getLogger().addHandler(Kept(self.logged))

    def _chunk(self, round: int, common: Arrays, chunk: Arrays) -> Returned | None:
        if self.worker is None:
            return None
        device = self.worker.host.layout.device
        if round != self.round:
            self.common, self.round = of_arrays(common, device), round
        return trained(self.worker, self.common, of_arrays(chunk, device))
