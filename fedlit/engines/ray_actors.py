"""The actors of engine=ray: starts them, gives them chunks, receives results, sets them up again and kills them."""

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

from fedlit import interrupts
from fedlit.engines.failures import Failed
from fedlit.engines.ordered_queue import OrderedQueue, Task, in_order
from fedlit.engines.ray_worker import RayWorker
from fedlit.engines.serialization import pack_arrays, unpack_arrays
from fedlit.engines.worker_process import Reply
from fedlit.errors import InputError, one_line
from fedlit.training import Cohort, Returned
from fedlit.user_imports import imported_user_modules

log = logging.getLogger(__name__)
_START_TIMEOUT = 60.0  # seconds in which no actor becomes ready; Ray takes half of it to notice a lost machine
_HINT_SECONDS = 30.0  # without a ready actor, before the log names what may be missing
_RETRY_SECONDS = 1.0  # before a lost actor is set up again: Ray may not have noticed yet that its machine is lost
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(eq=False)
class _Actor:
    handle: Any
    ready: bool = False
    pending: Any = None  # Ray's reference to the reply of its current call; None: it has none
    task: Task | None = None
    set_up_at: float = 0.0  # time.monotonic() before which it must not be set up


class RayActors:
    """Actors are started when there are chunks for them, and stay until `stop`.

    Ray restarts an actor that dies, on another machine if its own is lost. The new actor is set up again with module
    and data, and the chunk runs again.
    """

    def __init__(self, ray: Any, max_actors: int, data: Any, setup: Any, gpu: bool, device: torch.device | str):
        """
        Args:
            ray: the package.
            data, setup: references to a `JobData` and a `WorkerSetup` in Ray's object store.
            gpu: each actor needs a GPU.
            device: of this process, for tensors that a worker had on a GPU.
        """
        self.ray, self.max_actors, self.gpu, self.device = ray, max_actors, gpu, device
        self.data, self.setup = data, setup
        self.actors: list[_Actor] = []
        self._common_numbers = itertools.count()
        self._failing_since: float | None = None  # time.monotonic() since which no actor became ready
        self._hint_at = float("inf")  # time.monotonic() at which to log the hint

    def run(self, common: Any, chunks: Sequence[Cohort]) -> Iterator[tuple[Cohort, Returned | Failed]]:
        """Each chunk with its result, in order.

        Args:
            common: a reference to task, broadcast and counters in Ray's object store.
        """
        queue, number = OrderedQueue(chunks), next(self._common_numbers)
        while len(self.actors) < min(self.max_actors, len(chunks)):
            self.actors.append(_Actor(self._start_actor()))
        self._hint_at = time.monotonic() + _HINT_SECONDS
        return in_order(queue, lambda: self._assign(queue, number, common), lambda timeout: self._poll(queue, timeout))

    def stop(self) -> None:
        """Kill the actors."""
        for actor in self.actors:
            with suppress(Exception):  # the cluster may be gone
                self.ray.kill(actor.handle)
        self.actors.clear()

    def _start_actor(self) -> Any:
        threads = torch.get_num_threads()
        variables = {"OMP_NUM_THREADS": str(threads)}
        variables |= {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
        variables["PYTHONPATH"] = os.pathsep.join(_import_paths())  # one of them may hold fedlit
        options = {
            "max_restarts": -1,
            "max_task_retries": 0,  # `OrderedQueue` runs chunks again, and counts
            "num_gpus": 1 if self.gpu else 0,
            "runtime_env": {"env_vars": variables},  # Ray would set the numbers of threads itself
            **({} if self.gpu else {"num_cpus": 1}),
        }
        return self.ray.remote(**options)(RayWorker).remote(threads, self.gpu, os.getcwd(), imported_user_modules())

    def _assign(self, queue: OrderedQueue, common_number: int, common: Any) -> None:
        for actor in self.actors:
            if actor.pending is not None:
                continue
            if not actor.ready:
                if time.monotonic() >= actor.set_up_at:
                    actor.pending = actor.handle.set_up.remote(self.setup, self.data)
                continue
            task = actor.task = queue.next_task()
            if task is not None:
                chunk = pack_arrays((task.chunk.jobs, task.chunk.downloads, task.chunk.states))
                actor.pending = actor.handle.run_chunk.remote(common_number, common, chunk)

    def _poll(self, queue: OrderedQueue, timeout: float) -> None:
        """Receive replies."""
        self._log_hint()
        actor_of = {actor.pending: actor for actor in self.actors if actor.pending is not None}
        if not actor_of:
            time.sleep(timeout)
            return
        for reference in self.ray.wait(list(actor_of), num_returns=1, timeout=timeout)[0]:
            actor = actor_of[reference]
            actor.pending = None
            try:
                arrays = self.ray.get(reference)
            except self.ray.exceptions.RayError as error:
                self._handle_loss(actor, queue, error)
            else:
                num_bytes = sum(len(array) for array in arrays)
                self._handle_reply(actor, unpack_arrays(arrays, self.device), num_bytes, queue)

    def _handle_reply(self, actor: _Actor, reply: Reply, num_bytes: int, queue: OrderedQueue) -> None:
        reply.replay_log()
        task, actor.task = actor.task, None
        if task is not None and reply.result is not None:
            queue.done(task, reply.result, num_bytes)
        elif task is not None:  # Ray restarted the actor while it was idle
            actor.ready = False
            queue.put_back(task)
        elif isinstance(reply.result, Failed):
            raise reply.result.as_error("an actor of Ray cannot start")
        else:
            actor.ready, self._failing_since = True, None

    def _handle_loss(self, actor: _Actor, queue: OrderedQueue, error: Exception) -> None:
        interrupts.check()  # the main process may have received the same signal as the actor
        if "creation task" in str(error):  # the actor's __init__ or an import raised; a killed process has no such text
            raise InputError(
                f"engine=ray: an actor cannot start ({str(error).strip().splitlines()[-1][:200]}); fedlit and your own "
                "modules have to be importable on every machine of the cluster."
            ) from error
        now = time.monotonic()
        if not actor.ready:
            self._failing_since = self._failing_since or now
            if now - self._failing_since > _START_TIMEOUT:
                reason = one_line(error, 300)
                raise RuntimeError(
                    f"for {_START_TIMEOUT:.0f} s all actors of Ray died before they were ready: {reason}"
                )
        task, actor.task, actor.ready, actor.set_up_at = actor.task, None, False, now + _RETRY_SECONDS
        if task is not None:
            queue.worker_lost(task, type(error).__name__)

    def _log_hint(self) -> None:
        """Ray waits without a message while a cluster has no free resources."""
        if time.monotonic() > self._hint_at and not any(actor.ready for actor in self.actors):
            self._hint_at = float("inf")
            resource = "GPU" if self.gpu else "CPU"
            log.warning("no worker could be started on Ray for %.0f s; each needs a free %s", _HINT_SECONDS, resource)


def _import_paths() -> list[str]:
    """The folders of `sys.path` outside the Python installation; each machine has an installation of its own."""
    paths = [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".")]
    return [path for path in paths if not path.startswith((sys.prefix, sys.base_prefix + "/lib"))]
