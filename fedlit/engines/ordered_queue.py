"""The chunks of a run in their order: which have no worker yet, which have a result, and which run again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fedlit import interrupts
from fedlit.engines.failures import Failed, describe, one_by_one
from fedlit.training import Cohort, Returned

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1  # between two checks for Ctrl-C
_MAX_HELD_BYTES = 2**29  # of results that wait for an earlier one; above it no further chunk is started


@dataclass(eq=False)
class Task:
    chunk: Cohort
    workers_lost: int = 0  # workers that died while they ran it
    result: Returned | Failed | None = None
    num_bytes: int = 0  # of the result


class OrderedQueue:
    """Results are released in submission order; a result that is ready early waits."""

    def __init__(self, chunks: Iterable[Cohort]):
        self.unreleased = deque(Task(chunk) for chunk in chunks)
        self.unassigned = deque(self.unreleased)  # tasks without a worker, in the order of submission
        self._held_bytes = 0

    def next_task(self) -> Task | None:
        """A task for an idle worker; None if there is none, or if earlier results have to be released first."""
        if not self.unassigned:
            return None
        if self._held_bytes > _MAX_HELD_BYTES and self.unassigned[0] is not self.unreleased[0]:
            return None
        return self.unassigned.popleft()

    def pop_ready(self) -> Task | None:
        """The first task, if it has a result."""
        if self.unreleased[0].result is None:
            return None
        self._held_bytes -= self.unreleased[0].num_bytes
        return self.unreleased.popleft()

    def done(self, task: Task, result: Returned | Failed, num_bytes: int) -> None:
        """Store a worker's result. The clients of a chunk that failed run again, one by one."""
        if task not in self.unreleased:
            return  # a task of an earlier run that was aborted
        if isinstance(result, Failed) and not result.is_final and len(task.chunk) > 1:
            self._split(task, result.message)
            return
        task.result, task.num_bytes = result, num_bytes
        self._held_bytes += num_bytes

    def put_back(self, task: Task) -> None:
        """Return a task that its worker did not start."""
        if task in self.unreleased:
            self.unassigned.appendleft(task)

    def worker_lost(self, task: Task | None, reason: str) -> None:
        """Run the task of a dead worker again: first the whole chunk, for the same bits, then each client once."""
        if task is None or task not in self.unreleased:
            log.warning("a worker process died (%s); a new one replaces it", reason)
            return
        task.workers_lost += 1
        message = f"its worker process died ({reason})"
        if task.workers_lost == 1:
            log.warning("%s: %s; it runs again", describe(task.chunk), message)
            self.unassigned.appendleft(task)
        elif len(task.chunk) > 1:
            self._split(task, message)
        else:
            self.done(task, Failed(f"{message} each time it ran", "no traceback: the process was killed", None), 0)

    def _split(self, task: Task, message: str) -> None:
        single_tasks = [Task(client, workers_lost=1) for client in one_by_one(task.chunk, message)]
        position = self.unreleased.index(task)
        self.unreleased.remove(task)
        for offset, single_task in enumerate(single_tasks):
            self.unreleased.insert(position + offset, single_task)
        self.unassigned.extendleft(reversed(single_tasks))


def in_order(
    queue: OrderedQueue, assign: Callable[[], None], poll: Callable[[float], None]
) -> Iterator[tuple[Cohort, Returned | Failed]]:
    """Each chunk of a queue with its result, in order.

    Args:
        assign: gives tasks of the queue to idle workers.
        poll: receives the messages of workers; waits for one for at most the given seconds.
    """
    while queue.unreleased:
        interrupts.check()
        assign()
        ready = queue.pop_ready()
        poll(0 if ready else _POLL_SECONDS)
        if ready is not None:
            assign()  # else a worker would idle while the caller uses this result
            assert ready.result is not None
            yield ready.chunk, ready.result
