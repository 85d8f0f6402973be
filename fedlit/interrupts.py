"""Ctrl-C sets a flag, looked at between clients and between steps; the unfinished round is dropped.

Lightning swallows a KeyboardInterrupt, ignores every later one and ends the process with 1: hence a handler of our own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_asked = threading.Event()


class Interrupted(Exception):
    """Ctrl-C was pressed: the run stops at a place where nothing is lost."""


def check() -> None:
    """Raise Interrupted if Ctrl-C was pressed since `heeded` began."""
    if _asked.is_set():
        raise Interrupted


def left_to_main() -> None:
    """In a worker process: Ctrl-C is for the main process, which tells its workers by SIGTERM; `check` heeds that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: _asked.set())


@contextmanager
def heeded() -> Iterator[None]:
    """While open, Ctrl-C (and SIGTERM, what schedulers send before they kill) ends the run by `check`; a second Ctrl-C
    ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if _asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        _asked.set()

    _asked.clear()
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()
