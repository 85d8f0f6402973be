"""A pool of worker processes: starts them, gives them chunks, receives results, replaces dead ones and stops them."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from typing import Any

import torch

from fedlit import interrupts
from fedlit.engines.channel import Channel
from fedlit.engines.failures import Failed
from fedlit.engines.ordered_queue import OrderedQueue, Task, in_order
from fedlit.engines.serialization import Packed, unpack
from fedlit.engines.worker_process import Reply, serve
from fedlit.errors import InputError, one_line
from fedlit.training import Cohort, Returned
from fedlit.user_imports import imported_user_modules

log = logging.getLogger(__name__)
_PRELOADED = ["torch", "lightning.pytorch", "fedlit.training", "fedlit.engines.worker_process"]
_STOP_SECONDS = 2.0  # for a worker to finish its training step; then it is killed
_MAX_FAILED_STARTS = 3  # workers in a row that die before they are ready
_NO_FORK_SERVER = 255  # the exit code of a process whose fork server is gone


@dataclass(eq=False)
class WorkerHandle:
    """The main process's side of a worker."""

    process: Any
    channel: Channel
    ready: bool = False
    common: Packed | None = None  # the last one that was sent
    task: Task | None = None
    closed: bool = False  # it has ended, and none could be started in its place


class Pool:
    """Workers are started when there are chunks for them, and stay until `stop`."""

    def __init__(
        self,
        max_workers: int,
        data: Packed,
        setup: Packed,
        threads: int,
        gpus: Sequence[int],
        device: torch.device | str,
    ):
        """
        Args:
            data, setup: a `JobData` and a `WorkerSetup`, sent to each worker at its start.
            threads: of a torch operation in a worker.
            gpus: assigned to workers in turn; empty for the CPU.
            device: of this process, for tensors that a worker had on a GPU.
        """
        self.max_workers, self.threads, self.gpus, self.device = max_workers, threads, gpus, device
        self.data, self.setup = data, setup
        self.workers: list[WorkerHandle] = []
        self._failed_starts = 0
        self._lost_servers = 0  # fork servers that were killed since the last result
        atexit.register(self.stop)

    def run(self, common: Packed, chunks: Sequence[Cohort]) -> Iterator[tuple[Cohort, Returned | Failed]]:
        """Each chunk with its result, in order.

        Args:
            common: sent to each worker before its first chunk: task, broadcast, counters.
        """
        queue = OrderedQueue(chunks)
        while len(self.workers) < min(self.max_workers, len(chunks)):
            self.workers.append(self._start_worker(len(self.workers)))
        return in_order(queue, lambda: self._assign(queue, common), lambda timeout: self._poll(queue, timeout))

    def stop(self) -> None:
        """Idle workers end on a message, busy ones after their training step; the others are killed."""
        atexit.unregister(self.stop)
        workers = [worker for worker in self.workers if not worker.closed]
        for worker in workers:
            _ask_to_stop(worker)
        deadline = time.monotonic() + _STOP_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            _kill(worker)
            _close(worker)
        self.workers.clear()
        self.data.close()
        self.setup.close()

    def _start_worker(self, number: int) -> WorkerHandle:
        for attempt in range(_MAX_FAILED_STARTS):
            try:
                worker = self._try_start(number)
                break
            except (EOFError, OSError) as error:  # the fork server was killed; the next start makes a new one
                reason = one_line(error)
                time.sleep(0.2 * (attempt + 1))  # its end may not be known yet
        else:
            raise InputError(
                f"engine=processes: no worker process can be started ({reason}); close other programs, or write "
                "engine=serial."
            )
        with suppress(OSError):  # the worker is dead; its sentinel reports that
            worker.channel.share("data", self.data)
            worker.channel.share("setup", self.setup)
        return worker

    def _try_start(self, number: int) -> WorkerHandle:
        context = _forkserver_context()
        main_end, worker_end = context.Pipe()
        gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
        # not a daemon: daemons may not have children, and a data set may start loader processes
        arguments = worker_end, self.threads, gpu, imported_user_modules(), multiprocessing.get_start_method()
        process = context.Process(target=serve, args=arguments, name=f"fedlit worker {number}")
        try:
            with _sigint_blocked():
                process.start()
        except BaseException:
            main_end.close()
            raise
        finally:
            worker_end.close()
        return WorkerHandle(process, Channel(main_end))

    def _assign(self, queue: OrderedQueue, common: Packed) -> None:
        for worker in self.workers:
            if not worker.ready or worker.task is not None:
                continue
            task = worker.task = queue.next_task()
            if task is None:
                return
            with suppress(OSError):  # as above
                if worker.common is not common:
                    worker.channel.share("common", common)
                    worker.common = common
                worker.channel.send("chunk", (task.chunk.jobs, task.chunk.downloads, task.chunk.states))

    def _poll(self, queue: OrderedQueue, timeout: float) -> None:
        """Receive replies; replace workers that died."""
        sources = [source for worker in self.workers for source in (worker.channel.connection, worker.process.sentinel)]
        ready = connection.wait(sources, timeout)
        for number, worker in enumerate(self.workers):
            if worker.channel.connection not in ready and worker.process.sentinel not in ready:
                continue
            try:
                if not worker.channel.connection.poll():
                    raise EOFError
                _, packed = worker.channel.receive()
            except (EOFError, OSError):
                self._replace(number, queue)
                return  # a new worker may have a file descriptor of an old one that was ready
            self._handle_reply(worker, unpack(packed, self.device), packed.num_bytes, queue)

    def _handle_reply(self, worker: WorkerHandle, reply: Reply, num_bytes: int, queue: OrderedQueue) -> None:
        reply.replay_log()
        if worker.task is not None:
            task, worker.task, self._lost_servers = worker.task, None, 0
            assert reply.result is not None
            queue.done(task, reply.result, num_bytes)
        elif isinstance(reply.result, Failed):
            _refuse_main(reply.result)
            raise reply.result.as_error("a worker process cannot start")
        else:
            worker.ready, self._failed_starts = True, 0

    def _replace(self, number: int, queue: OrderedQueue) -> None:
        interrupts.check()  # the main process may have received the same signal as the worker
        worker = self.workers[number]
        _kill(worker)
        if worker.process.exitcode == _NO_FORK_SERVER:
            self._replace_all(queue)
            return
        reason, task, ready = _exit_reason(worker.process.exitcode), worker.task, worker.ready
        _close(worker)
        self._failed_starts += not ready
        if self._failed_starts == _MAX_FAILED_STARTS:
            raise InputError(
                f"engine=processes: {_MAX_FAILED_STARTS} worker processes in a row died before they were ready "
                f"({reason}); what they wrote is above; write engine.workers=<fewer> if memory is short, or "
                "engine=serial."
            )
        self.workers[number] = self._start_worker(number)
        queue.worker_lost(task, reason)

    def _replace_all(self, queue: OrderedQueue) -> None:
        """After the end of the fork server, which alone knows of the ends of its workers. No client is at fault."""
        self._lost_servers += 1
        if self._lost_servers == _MAX_FAILED_STARTS:
            raise InputError(
                f"engine=processes: the fork server of the workers was killed {_MAX_FAILED_STARTS} times in a row; "
                "find out what kills it (short memory?), or write engine=serial."
            )
        log.warning("the fork server was killed; all worker processes start again")
        for number, worker in enumerate(list(self.workers)):
            _kill(worker)
            if worker.task is not None:
                queue.put_back(worker.task)
            _close(worker)
            self.workers[number] = self._start_worker(number)


def warm_up() -> None:
    """Start the fork server, which imports the modules that workers need, in the background."""
    context = _forkserver_context()
    context.set_forkserver_preload(_PRELOADED)
    with _sigint_blocked():
        try:
            forkserver.ensure_running()
        except OSError as error:
            if "too long" not in str(error):
                raise
            raise InputError(
                f"engine=processes: {tempfile.gettempdir()}, the folder of temporary files, has too long a name for "
                "the socket of the worker processes; write TMPDIR=/tmp before the command, or engine=serial."
            ) from error


def _forkserver_context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise InputError("engine=processes: Python has no forkserver on this system; write engine=serial.")
    return multiprocessing.get_context("forkserver")


def _refuse_main(failed: Failed) -> None:
    """InputError if a worker lacks a class that was defined in a notebook, whose cells it does not import."""
    if "on <module '__main__'" in failed.message:
        raise InputError(
            f"engine=processes: worker processes do not see what a notebook defines ({failed.message}); define it in a "
            "file and import it from there, or write engine=serial."
        )


def _ask_to_stop(worker: WorkerHandle) -> None:
    if not worker.ready:
        worker.process.kill()
    elif worker.task is not None:
        worker.process.terminate()  # the worker checks for SIGTERM between training steps
    with suppress(OSError):
        worker.channel.send("stop", None)


def _kill(worker: WorkerHandle) -> None:
    worker.process.kill()
    worker.process.join()
    if worker.process.exitcode == _NO_FORK_SERVER:  # the worker may be alive, and would miss the main process
        with suppress(OSError):
            os.kill(worker.process.pid, signal.SIGKILL)


def _close(worker: WorkerHandle) -> None:
    worker.channel.close()
    worker.process.close()
    worker.closed = True


def _exit_reason(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT while processes start, so that they inherit the mask; only the main process handles Ctrl-C."""
    resource_tracker.ensure_running()  # else a process start would start it, and that unblocks SIGINT
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
