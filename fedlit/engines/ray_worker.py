"""What runs in an actor of Ray: a worker that holds module and data, and trains the chunks that it is handed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fedlit.engines.machine import on_gpu
from fedlit.engines.parcel import as_arrays, of_arrays
from fedlit.engines.worker_process import Answer, Failed, Kept
from fedlit.trainers.cohort import Cohort

Arrays = Sequence[np.ndarray]


class RayWorker:
    """
    Args:
        begin: a `worker_process.Begin`, packed.
        data: a `JobData`, packed.
        threads: of an operation.
        on_a_gpu: Ray has given it a GPU, the only one that it sees.
        paths: where modules of the user's are found.
    """

    def __init__(self, begin: Arrays, data: Arrays, threads: int, on_a_gpu: bool, paths: Sequence[str]):
        sys.path.extend(path for path in paths if path not in sys.path)
        torch.set_num_threads(threads)
        self.logged: list[tuple[str, int, str]] = []
        self.trouble: Failed | None = None
        self.round = -1
        self.common: Any = None
        try:
            made = of_arrays(begin)
            logging.getLogger().setLevel(made.level)
            logging.getLogger().addHandler(logging.NullHandler())  # the main process's own worker has said the same
            trainer = on_gpu(made.trainer, 0 if on_a_gpu else None)
            self.worker: Any = trainer.worker(made.module.make(), of_arrays(data), made.measure)
        except Exception as error:  # told when it is asked whether it is ready: Ray would try for ever
            self.trouble = Failed.of(error)
        logging.getLogger().addHandler(Kept(self.logged))

    def ready(self) -> Failed | None:
        """What went wrong at the start, if anything did."""
        return self.trouble

    def chunk(self, round: int, common: Arrays, chunk: Arrays) -> list[np.ndarray]:
        """A chunk of clients; an `Answer`, packed.

        Args:
            round: of `common`, which is unpacked once.
            common: work, what was broadcast, counters.
            chunk: jobs, what each client receives besides, states.
        """
        try:
            device = self.worker.layout.device
            if round != self.round:
                self.round, self.common = round, of_arrays(common, device)
            work, down, counters = self.common
            jobs, own, states = of_arrays(chunk, device)
            answer = Answer(self.worker.run(work, Cohort(jobs, down, own, states, counters)), list(self.logged))
            packed = as_arrays(answer)
        except Exception as error:
            packed = as_arrays(Answer(Failed.of(error), list(self.logged)))
        self.logged.clear()
        return packed
