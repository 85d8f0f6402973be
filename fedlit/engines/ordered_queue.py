"""The chunks of a run in their order: which are still to be done, which are done, and which run once more."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fedlit import interrupts
from fedlit.engines.failures import Failed, named, one_by_one
from fedlit.training import Cohort, Returned

log = logging.getLogger(__name__)
_GLANCE = 0.1  # seconds between two looks whether Ctrl-C was pressed
_HELD = 2**29  # bytes of results that may wait for an earlier one before no later chunk is begun


@dataclass(eq=False)
class Task:
    chunk: Cohort
    deaths: int = 0  # workers that were gone while they ran it
    found: Returned | Failed | None = None
    size: int = 0  # bytes that came back


class OrderedQueue:
    """Whoever is done waits for those before it: results leave in the order in which chunks came."""

    def __init__(self, chunks: Iterable[Cohort]):
        self.waiting = deque(Task(chunk) for chunk in chunks)
        self.todo = deque(self.waiting)  # those that no worker has, longest shard first as they came
        self._held = 0

    def next_task(self) -> Task | None:
        """A task for an idle worker; None where there is none, or the memory for its result is wanted first."""
        if not self.todo or (self._held > _HELD and self.todo[0] is not self.waiting[0]):
            return None
        return self.todo.popleft()

    def pop_ready(self) -> Task | None:
        """The first in line, if it is done."""
        if self.waiting[0].found is None:
            return None
        self._held -= self.waiting[0].size
        return self.waiting.popleft()

    def done(self, task: Task, found: Returned | Failed, size: int) -> None:
        """What a worker came back with. A chunk that failed is run client by client."""
        if task not in self.waiting:
            return  # of a run that was given up
        if isinstance(found, Failed) and found.sentence is None and len(task.chunk) > 1:
            self._split(task, found.what)
            return
        task.found, task.size = found, size
        self._held += size

    def not_begun(self, task: Task) -> None:
        """The worker has to be made ready first."""
        if task in self.waiting:
            self.todo.appendleft(task)

    def worker_lost(self, task: Task | None, how: str) -> None:
        """A worker was gone. Its chunk runs once more as it is, for the same bits; then client by client, each once."""
        if task is None or task not in self.waiting:
            log.warning("a worker process was gone (%s); another takes its place", how)
            return
        task.deaths += 1
        what = f"its worker process was gone ({how})"
        if task.deaths == 1:
            log.warning("%s: %s; run again", named(task.chunk), what)
            self.todo.appendleft(task)
        elif len(task.chunk) > 1:
            self._split(task, what)
        else:
            self.done(task, Failed(f"{what}, each time it was run", "no traceback: the process was ended", None), 0)

    def _split(self, task: Task, what: str) -> None:
        alone = [Task(client, deaths=1) for client in one_by_one(task.chunk, what)]
        at = self.waiting.index(task)
        self.waiting.remove(task)
        for place, one in enumerate(alone, at):
            self.waiting.insert(place, one)
        self.todo.extendleft(reversed(alone))


def in_order(
    line: OrderedQueue, hand_out: Callable[[], None], listen: Callable[[float], None]
) -> Iterator[tuple[Cohort, Returned | Failed]]:
    """The chunks of a line with what came of each, in their order.

    Args:
        hand_out: gives tasks of the line to idle workers.
        listen: takes in what workers have to tell, and waits so many seconds for it.
    """
    while line.waiting:
        interrupts.check()
        hand_out()
        done = line.pop_ready()
        listen(0 if done else _GLANCE)
        if done is not None:
            hand_out()  # or a worker would wait while this result is made use of
            assert done.found is not None
            yield done.chunk, done.found
