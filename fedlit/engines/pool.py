"""Worker processes: started, handed chunks, listened to, replaced and stopped."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
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
from fedlit.engines.serialization import Parcel
from fedlit.engines.worker_process import Answer, serve
from fedlit.errors import InputError
from fedlit.training import Cohort, Returned

_PRELOADED = ["torch", "lightning.pytorch", "fedlit.training", "fedlit.engines.worker_process"]
_GRACE = 2.0  # seconds that a worker gets to come to the end of a step
_FALSE_STARTS = 3  # workers in a row that may be gone before they are ready


@dataclass(eq=False)
class WorkerHandle:
    """The main process's end of a worker."""

    process: Any
    there: Channel
    ready: bool = False
    common: Parcel | None = None  # what it was last handed of what all chunks have in common
    task: Task | None = None


class Pool:
    """Workers that are started when there are chunks for them, and stay."""

    def __init__(
        self,
        most: int,
        data: Parcel,
        begin: Parcel,
        threads: int,
        gpus: Sequence[int],
        device: torch.device | str,
    ):
        """
        Args:
            most: workers there may be.
            data, begin: what each is handed at its start.
            threads: of an operation in a worker.
            gpus: workers take them in turn; none means the CPU.
            device: where what comes back from a GPU goes.
        """
        self.most, self.data, self.begin, self.threads, self.gpus, self.device = (
            most,
            data,
            begin,
            threads,
            gpus,
            device,
        )
        self.members: list[WorkerHandle] = []
        self._false_starts = 0
        atexit.register(self.stop)

    def run(self, common: Parcel, chunks: Sequence[Cohort]) -> Iterator[tuple[Cohort, Returned | Failed]]:
        """The chunks with what came of each, in their order; `common` is what all of them are handed."""
        line = OrderedQueue(chunks)
        while len(self.members) < min(self.most, len(chunks)):
            self.members.append(self._started(len(self.members)))
        return in_order(line, lambda: self._hand_out(line, common), lambda seconds: self._listen(line, seconds))

    def stop(self) -> None:
        """No worker is left: idle ones end by themselves, busy ones after their step, others are killed."""
        atexit.unregister(self.stop)
        for member in self.members:
            _tell_to_stop(member)
        until = time.monotonic() + _GRACE
        for member in self.members:
            member.process.join(max(0.0, until - time.monotonic()))
            self._bury(member)
        self.members.clear()
        self.data.close()
        self.begin.close()

    def _started(self, number: int) -> WorkerHandle:
        context = _context()
        there, here = context.Pipe()
        gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
        # not a daemon: those may have no children, and a data set may have loader processes
        process = context.Process(target=serve, args=(here, self.threads, gpu), name=f"fedlit worker {number}")
        with _interrupts_later():
            process.start()
        here.close()
        member = WorkerHandle(process, Channel(there))
        with suppress(OSError):  # it is gone already, as its sentinel will tell
            member.there.give("data", self.data)
            member.there.give("begin", self.begin)
        return member

    def _hand_out(self, line: OrderedQueue, common: Parcel) -> None:
        for member in self.members:
            if not member.ready or member.task is not None:
                continue
            task = member.task = line.next_task()
            if task is None:
                return
            with suppress(OSError):
                if member.common is not common:
                    member.there.give("common", common)
                    member.common = common
                member.there.put("chunk", (task.chunk.jobs, task.chunk.downloads, task.chunk.states))

    def _listen(self, line: OrderedQueue, timeout: float) -> None:
        """Take in what workers have to tell."""
        sources = [source for member in self.members for source in (member.there.connection, member.process.sentinel)]
        ready = connection.wait(sources, timeout)
        for number, member in enumerate(self.members):
            if member.there.connection not in ready and member.process.sentinel not in ready:
                continue
            try:
                if not member.there.connection.poll():
                    raise EOFError
                _, parcel = member.there.receive()
            except (EOFError, OSError):
                self._replace(number, line)
                continue
            self._take(member, parcel.copied(self.device), parcel.size, line)

    def _take(self, member: WorkerHandle, answer: Answer, size: int, line: OrderedQueue) -> None:
        answer.log()
        if member.task is not None:
            task, member.task = member.task, None
            assert answer.found is not None
            line.done(task, answer.found, size)
        elif isinstance(answer.found, Failed):
            raise answer.found.as_error("a worker process cannot start")
        else:
            member.ready, self._false_starts = True, 0

    def _replace(self, number: int, line: OrderedQueue) -> None:
        interrupts.check()  # a signal that was sent to main process and workers alike
        member = self.members[number]
        member.process.kill()
        member.process.join()
        how, task, ready = _ended(member.process.exitcode), member.task, member.ready
        self._bury(member)
        self._false_starts += not ready
        if self._false_starts == _FALSE_STARTS:
            raise RuntimeError(f"{_FALSE_STARTS} worker processes in a row were gone before they were ready: {how}")
        self.members[number] = self._started(number)
        line.worker_lost(task, how)

    @staticmethod
    def _bury(member: WorkerHandle) -> None:
        member.process.kill()
        member.process.join()
        member.there.close()
        member.process.close()


def warm_up() -> None:
    """Begin to import what workers need, in the process that they are forked from."""
    context = _context()
    context.set_forkserver_preload(_PRELOADED)
    with _interrupts_later():
        forkserver.ensure_running()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise InputError("engine=processes: this system has no forkserver to start workers by; write engine=serial.")
    return multiprocessing.get_context("forkserver")


def _tell_to_stop(member: WorkerHandle) -> None:
    if not member.ready:
        member.process.kill()
    elif member.task is not None:
        member.process.terminate()  # which it heeds between two steps
    with suppress(OSError):
        member.there.put("stop", None)


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """What is started meanwhile is born deaf to Ctrl-C, which is the main process's to heed; here it waits so long."""
    resource_tracker.ensure_running()  # it would be started in between, and let Ctrl-C through from then on
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
