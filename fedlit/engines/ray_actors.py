"""The workers of engine=ray: actors that are started, handed chunks, listened to, begun anew and stopped."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from fedlit.engines.failures import Failed
from fedlit.engines.ordered_queue import OrderedQueue, Task, in_order
from fedlit.engines.ray_worker import RayWorker
from fedlit.engines.serialization import as_arrays, of_arrays
from fedlit.engines.worker_process import Answer
from fedlit.errors import InputError, one_line
from fedlit.training import Cohort, Returned

log = logging.getLogger(__name__)
_PATIENCE = 60.0  # seconds of actors that are gone before they are ready; Ray takes half as long to miss a machine
_HINT = 30.0  # seconds without a worker before it is said what may be missing
_PAUSE = 1.0  # seconds until an actor that is gone is asked again: Ray may not have seen yet that its machine is gone
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(eq=False)
class _Actor:
    handle: Any
    ready: bool = False
    asked: Any = None  # the answer it owes; None: nothing
    task: Task | None = None
    ask_at: float = 0.0  # time.monotonic() from which on it may be asked to begin


class RayActors:
    """Actors that are started when there are chunks for them, and stay. Ray starts one that is gone again, elsewhere if
    its machine is gone too; it is then handed module and data once more, and its chunk runs again."""

    def __init__(self, ray: Any, most: int, data: Any, begin: Any, gpu: bool, device: torch.device | str):
        """
        Args:
            ray: the package.
            most: actors there may be.
            data, begin: what each is handed at its start, in Ray's store.
            gpu: each has a GPU of its own.
            device: where what comes back from a GPU goes.
        """
        self.ray, self.most, self.data, self.begin, self.gpu, self.device = ray, most, data, begin, gpu, device
        self.all: list[_Actor] = []
        self._numbers = itertools.count()
        self._failing_since: float | None = None  # time.monotonic() from which on no actor came to be ready
        self._hint_at = float("inf")  # when to say what they may be waiting for

    def run(self, common: Any, chunks: Sequence[Cohort]) -> Iterator[tuple[Cohort, Returned | Failed]]:
        """The chunks with what came of each, in their order; `common` is what all of them are handed."""
        line, number = OrderedQueue(chunks), next(self._numbers)
        while len(self.all) < min(self.most, len(chunks)):
            self.all.append(_Actor(self._started()))
        self._hint_at = time.monotonic() + _HINT
        return in_order(line, lambda: self._hand_out(line, number, common), lambda seconds: self._listen(line, seconds))

    def stop(self) -> None:
        for actor in self.all:
            with suppress(Exception):  # the cluster may be gone
                self.ray.kill(actor.handle)
        self.all.clear()

    def _started(self) -> Any:
        threads = torch.get_num_threads()
        variables = {"OMP_NUM_THREADS": str(threads), **{v: os.environ[v] for v in _THREADS if v in os.environ}}
        variables["PYTHONPATH"] = os.pathsep.join(_own_paths())  # fedlit may be in one of them
        options = {
            "max_restarts": -1,
            "max_task_retries": 0,  # `Line` has chunks run again, and counts
            "num_gpus": 1 if self.gpu else 0,
            "runtime_env": {"env_vars": variables},  # Ray would set other ones
            **({} if self.gpu else {"num_cpus": 1}),
        }
        return self.ray.remote(**options)(RayWorker).remote(threads, self.gpu, os.getcwd())

    def _hand_out(self, line: OrderedQueue, number: int, common: Any) -> None:
        for actor in self.all:
            if actor.asked is not None:
                continue
            if not actor.ready:
                if time.monotonic() >= actor.ask_at:
                    actor.asked = actor.handle.begin.remote(self.begin, self.data)
                continue
            task = actor.task = line.next_task()
            if task is not None:
                chunk = as_arrays((task.chunk.jobs, task.chunk.downloads, task.chunk.states))
                actor.asked = actor.handle.chunk.remote(number, common, chunk)

    def _listen(self, line: OrderedQueue, seconds: float) -> None:
        """Take in what actors have to tell."""
        self._hint()
        asked = {actor.asked: actor for actor in self.all if actor.asked is not None}
        if not asked:
            time.sleep(seconds)
            return
        for answer in self.ray.wait(list(asked), num_returns=1, timeout=seconds)[0]:
            actor = asked[answer]
            actor.asked = None
            try:
                found = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                self._gone(actor, line, error)
            else:
                self._take(actor, of_arrays(found, self.device), sum(len(part) for part in found), line)

    def _take(self, actor: _Actor, answer: Answer, size: int, line: OrderedQueue) -> None:
        answer.log()
        task, actor.task = actor.task, None
        if task is not None and answer.found is not None:
            line.done(task, answer.found, size)
        elif task is not None:  # the actor was gone while it was idle
            actor.ready = False
            line.not_begun(task)
        elif isinstance(answer.found, Failed):
            raise answer.found.as_error("an actor of Ray cannot start")
        else:
            actor.ready, self._failing_since = True, None

    def _gone(self, actor: _Actor, line: OrderedQueue, error: Exception) -> None:
        if "creation task" in str(error):  # it raised, as a process that is killed does not
            raise InputError(
                f"engine=ray: an actor cannot start ({str(error).strip().splitlines()[-1][:200]}); fedlit and your own "
                "modules have to be importable on every machine of the cluster."
            ) from error
        now = time.monotonic()
        if not actor.ready:
            self._failing_since = self._failing_since or now
            if now - self._failing_since > _PATIENCE:
                how = one_line(error, 300)
                raise RuntimeError(f"actors of Ray are gone before they are ready, for {_PATIENCE:.0f} s now: {how}")
        task, actor.task, actor.ready, actor.ask_at = actor.task, None, False, now + _PAUSE
        if task is not None:
            line.worker_lost(task, type(error).__name__)

    def _hint(self) -> None:
        """Ray waits without a word where all that a cluster has is taken."""
        if time.monotonic() > self._hint_at and not any(actor.ready for actor in self.all):
            self._hint_at = float("inf")
            what = "GPU" if self.gpu else "CPU"
            log.warning("no worker could be started on Ray for %.0f s; each needs a free %s", _HINT, what)


def _own_paths() -> list[str]:
    """Where modules are found besides those that are installed, which each machine has itself."""
    paths = [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".")]
    return [path for path in paths if not path.startswith((sys.prefix, sys.base_prefix + "/lib"))]
