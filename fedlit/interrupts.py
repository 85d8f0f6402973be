"""Ctrl-C sets a flag that is checked between clients and between steps; the unfinished round is dropped.

Lightning catches the first KeyboardInterrupt, ignores later ones and exits with 1. Hence fedlit has its own handler.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_requested = threading.Event()
_deferrals: list[bool] = []  # one for each open block of `deferred`


class Interrupted(Exception):
    """Ctrl-C was pressed; the run stops where nothing is lost."""


def check() -> None:
    """Raise Interrupted if Ctrl-C was pressed since `handled` was entered."""
    if _requested.is_set() and not _deferrals:
        raise Interrupted


def ignore_in_worker() -> None:
    """In a worker process: ignore Ctrl-C, which the main process handles, and let `check` raise after SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: _requested.set())


@contextmanager
def deferred() -> Iterator[None]:
    """In the block `check` does not raise; a request that came in it is seen by the next check after it."""
    _deferrals.append(True)
    try:
        yield
    finally:
        _deferrals.pop()


@contextmanager
def handled() -> Iterator[None]:
    """In the block, Ctrl-C and SIGTERM (from schedulers) make `check` raise; a second Ctrl-C raises KeyboardInterrupt.

    Signal handlers belong to the main thread, so that the block has no effect in other threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(number: int, frame: Any) -> None:
        if _requested.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        _requested.set()

    _requested.clear()
    handlers = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _requested.clear()
