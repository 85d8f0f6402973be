"""Seconds divided among named parts: each moment belongs to the innermost part that is open."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any


class Timer:
    """Of the thread that makes it; functions that other threads call are not measured.

    Args:
        root: the name of the time that is in no other part. Nothing is measured before `timed(root, ...)` is called.
        wait: waits for the device, before a part begins or ends; None: there is nothing to wait for.
        clock: returns the time, seconds.

    Attributes:
        seconds: part -> seconds, without those of the parts within it.
        calls: part -> how often it was entered.
    """

    def __init__(
        self, root: str, wait: Callable[[], None] | None = None, clock: Callable[[], float] = time.perf_counter
    ):
        self.root, self._wait, self._clock = root, wait, clock
        self.seconds, self.calls = defaultdict[str, float](float), Counter[str]()
        self._open: list[tuple[str, bool]] = []  # names, and whether they have no parts within
        self._thread, self._since = threading.get_ident(), 0.0

    def timed(
        self, name: str, function: Callable[..., Any], undivided: bool = False, waits: bool = True
    ) -> Callable[..., Any]:
        """The function, whose calls are a part.

        Args:
            undivided: parts within it count as this one.
            waits: for the device. A part of a step does not: the device would stand still.
        """

        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            depth = self.begin(name, undivided, waits)
            try:
                return function(*arguments, **options)
            finally:
                self.end(depth, waits)

        return measured

    def timed_iteration(self, name: str, function: Callable[..., Any], waits: bool = True) -> Callable[..., Any]:
        """A function that returns an iterator, each step of which is a part."""

        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Iterator[Any]:
            advance = self.timed(name, next, waits=waits)
            items = iter(self.timed(name, function, waits=waits)(*arguments, **options))
            try:
                while (item := advance(items, _END)) is not _END:
                    yield item
            finally:
                if hasattr(items, "close"):
                    items.close()

        return measured

    def begin(self, name: str, undivided: bool = False, waits: bool = True) -> int | None:
        """Open a part; the depth to `end`, None where nothing is measured."""
        is_measured = bool(self._open) or name == self.root
        if not is_measured or threading.get_ident() != self._thread or (self._open and self._open[-1][1]):
            return None
        self._settle(waits)
        self._open.append((name, undivided))
        self.calls[name] += 1
        return len(self._open) - 1

    def end(self, depth: int | None, waits: bool = True) -> None:
        """Close the part of this depth, and those within it that an error left open."""
        if depth is not None and depth < len(self._open):
            self._settle(waits)
            del self._open[depth:]

    def _settle(self, waits: bool) -> None:
        """Give the time until now to the innermost part."""
        if waits and self._wait is not None:
            self._wait()
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1][0]] += now - self._since
        self._since = now


_END = object()
