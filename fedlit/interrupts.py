"""Ctrl-C, SIGTERM and SIGHUP end a command. While rounds run they set a flag, which is checked between clients and
between steps: the unfinished round is dropped and the last finished one is saved. Otherwise they end it at once.

SIGTERM comes from schedulers (SLURM, Kubernetes) and from `timeout`, often to the whole process group. SIGHUP comes
when the terminal is closed. A signal that is ignored when the command starts stays ignored: SIGHUP under `nohup`, or
SIGINT in a script's background job.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_received: list[int] = []  # signals since the outermost block of `at_once` or `handled` was entered
_deferrals: list[bool] = []  # one for each open block of `deferred`
_levels: list[bool] = []  # one for each open block of `at_once` and `handled`


class Stopped(BaseException):
    """A signal ends the command at once. No Exception: a library or a user's `except Exception` must not stop it, and
    no KeyboardInterrupt: Lightning makes an exit code of 1 of that."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


class Interrupted(Stopped):
    """A signal ends the run where nothing is lost; raised by `check`."""


def check() -> None:
    """Raise Interrupted if a signal came since `handled` was entered."""
    interrupted = requested()
    if interrupted is not None and not _deferrals:
        raise interrupted


def requested() -> Interrupted | None:
    """What `check` would raise, also in a block of `deferred`; None if no signal came.

    An error that follows a signal may be its consequence: the signal may have ended a child process, such as a worker
    of a DataLoader.
    """
    return Interrupted(_received[0]) if _received else None


def ignore_in_worker() -> None:
    """In a worker process: ignore Ctrl-C and SIGHUP, which the main process handles, and let `check` raise after
    SIGTERM."""
    ignore_all()
    signal.signal(signal.SIGTERM, lambda number, frame: _received.append(number))


def ignore_all() -> None:
    """In another process of the run, which ends when the main process has handled the signal."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[None]:
    """In the block `check` does not raise; a request that came in it is seen by the next check after it."""
    _deferrals.append(True)
    try:
        yield
    finally:
        _deferrals.pop()


@contextmanager
def at_once() -> Iterator[None]:
    """In the block, the signals raise Stopped at once: nothing is lost that a run could save.

    A block around it does not know of the signals in it, so that they can be sent again for the outer handler.
    """
    count = len(_received)

    def stop(number: int, frame: Any) -> None:
        _received.append(number)
        if len(_received) == 1 or number == signal.SIGINT:  # a second one would cut the cleaning up short
            raise Stopped(number)

    try:
        with _handlers(stop):
            yield
    finally:
        del _received[count:]


@contextmanager
def handled(at_first: Callable[[], None] | None = None) -> Iterator[None]:
    """In the block, the signals make `check` raise; a second Ctrl-C raises Stopped at once.

    Args:
        at_first: called at the first signal, in the main thread.
    """

    def request(number: int, frame: Any) -> None:
        again = bool(_received)
        _received.append(number)
        if at_first is not None and not again:
            at_first()
        if again and number == signal.SIGINT:
            raise Stopped(number)

    with _handlers(request):
        yield


@contextmanager
def _handlers(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle the signals in the block, and restore the handlers before it. Handlers belong to the main thread, so that
    the block has no effect in other threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _levels:
        _received.clear()
    _levels.append(True)
    handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)  # None: not a handler of Python's
        _levels.pop()
        if not _levels:
            _received.clear()
