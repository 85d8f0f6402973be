"""The progress of a run: bars on a terminal or in a notebook, else plain lines. `LogLines` has that of run.log."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedlit.errors import InputError
from fedlit.evaluation.headline import headline
from fedlit.run_log import CopiedStream, terminal
from fedlit.tracking import terminal_text
from fedlit.tracking.logger import About, Logger, Loggers, Row, Summary
from fedlit.tracking.run_line import RunLine


def progress(show: str = "auto") -> Logger:
    """The logger for `progress=`: "rich", "plain", "none", or "auto", which is rich on a terminal or in a notebook, and
    else plain. A run of a sweep has "line" where a person sees it."""
    in_notebook = Console().is_jupyter
    if show == "auto":
        terminal = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        show = "rich" if terminal or in_notebook else "plain"
    if show == "rich":
        return NotebookProgress() if in_notebook else RichProgress()
    if show == "plain":
        return PlainProgress()
    if show == "line":
        return RunLine()
    if show == "none":
        return Loggers()
    raise InputError(f"progress={show}: write auto, rich, plain or none")


class PlainProgress(Logger):
    """A line per round, at most one per `interval`, and always the last one; for files and pipes. The first time that a
    line is left out, a line says so."""

    def __init__(self, interval: float = 1.0, clock: Callable[[], float] = time.monotonic):
        """
        Args:
            interval: least time between two lines, seconds.
            clock: returns the time, seconds.
        """
        self.interval, self._clock = interval, clock
        self._printed = -float("inf")
        self._held: str | None = None  # the newest line, until it is printed
        self._has_told = False  # that lines are left out

    def start(self, about: About) -> None:
        self._about = about
        _print(terminal_text.opening(about))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        if self._held is not None and not self._has_told:
            self._has_told = True
            _print(
                f"(rounds are fast: at most one line {_interval_text(self.interval)}; metrics.jsonl has every round)"
            )
        self._held = terminal_text.round_line(number, self._about.rounds, row)
        if self._clock() - self._printed >= self.interval or number == self._about.rounds:
            self._print_held()

    def finish(self, summary: Summary) -> None:
        self._print_held()
        _print(terminal_text.closing(self._about, summary))

    def close(self) -> None:
        self._print_held()  # after an error, the last completed round is shown

    def _print_held(self) -> None:
        if self._held is not None:
            _print(self._held)
            self._held, self._printed = None, self._clock()


class RichProgress(Logger):
    """Two bars, rounds and clients of the round, with the newest headline metric and the remaining time."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(file=terminal(sys.stdout), force_terminal=True, highlight=False)
        self._display: Progress | None = None
        self._size = 1
        self._streams: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def start(self, about: About) -> None:
        self._about = about
        name, _, facts = terminal_text.opening(about).partition("\n")
        self._console.print(name, style="bold", markup=False, soft_wrap=True)
        self._console.print(facts, markup=False, soft_wrap=True)
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[bold]{task.fields[metric]}"),
            console=self._console,
            speed_estimate_period=3600,  # rich's default of 30 seconds gives no estimate if a round takes a minute
        )
        done = about.resumed_after
        self._rounds = self._display.add_task(
            "rounds", completed=done, total=about.rounds, count=f"{done}/{about.rounds}", metric=""
        )
        has_clients = len(about.sizes) > 0  # parties with columns are no clients
        self._clients = self._display.add_task("clients", total=None, count="", metric="", visible=has_clients)
        self._begin(self._display)

    def cohort(self, number: int, size: int) -> None:
        self._size = size
        if self._display is not None:
            self._display.reset(self._clients, total=size, count=f"0/{size}", metric="")

    def client_done(self, number: int, done: int) -> None:
        if self._display is not None:
            self._display.update(self._clients, completed=done, count=f"{done}/{self._size}")
            # the bar of rounds advances within a round, so that the remaining time is known during a long first round
            self._display.update(self._rounds, completed=number - 1 + done / max(self._size, 1))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        if self._display is not None:
            self._display.update(self._rounds, completed=number, count=f"{number}/{self._about.rounds}")
            name = headline(row)
            if name is not None:
                self._display.update(self._rounds, metric=f"{name} {terminal_text.figure(row[name])}")

    def finish(self, summary: Summary) -> None:
        self.close()
        self._console.print(terminal_text.closing(self._about, summary), markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stop the display, and restore the cursor and the streams of log handlers."""
        if self._display is not None:
            self._display.remove_task(self._clients)
            self._display.stop()
            self._display = None
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams = []

    def _begin(self, display: Progress) -> None:
        # rich replaces sys.stdout and sys.stderr to print above its bars; log handlers still hold the old streams
        originals = sys.stdout, sys.stderr
        display.start()
        replaced = sys.stdout, sys.stderr
        for handler in logging.getLogger().handlers:
            for old, new in zip(map(terminal, originals), map(terminal, replaced), strict=True):
                if isinstance(handler, logging.StreamHandler) and handler.stream is old and new is not old:
                    handler.setStream(new)
                    self._streams.append((handler, old))
        sys.stdout, sys.stderr = map(_copied_as, originals, replaced)


class NotebookProgress(RichProgress):
    """The same bars as an output of the notebook's cell, which is replaced while the run goes on. It needs no widgets,
    and a saved notebook has the last state."""

    def __init__(self, show: Callable[..., Any] | None = None, interval: float = 0.2):
        """
        Args:
            show: IPython's `display`.
            interval: least time between two states, seconds.
        """
        super().__init__(Console(file=terminal(sys.stdout), force_jupyter=False, color_system=None, highlight=False))
        self._show, self._interval = show, interval
        self._handle: Any = None
        self._drawn = -float("inf")

    def cohort(self, number: int, size: int) -> None:
        super().cohort(number, size)
        self._draw(self._interval)

    def client_done(self, number: int, done: int) -> None:
        super().client_done(number, done)
        self._draw(self._interval)

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        super().round(number, row, pictures)
        self._draw(self._interval)

    def close(self) -> None:
        """Show the last state, without the bar of clients."""
        if self._display is not None:
            self._display.remove_task(self._clients)
            self._draw(0)
            self._display = None

    def _begin(self, display: Progress) -> None:
        if self._show is None:
            from IPython.display import display as show  # only where a notebook runs

            self._show = show
        self._handle = self._show(display, display_id=True)

    def _draw(self, interval: float) -> None:
        if self._display is not None and time.monotonic() - self._drawn >= interval:
            self._handle.update(self._display)
            self._drawn = time.monotonic()


def _interval_text(seconds: float) -> str:
    return "a second" if seconds == 1 else f"every {seconds:g} seconds"


def _print(text: str) -> None:
    print(text, file=terminal(sys.stdout), flush=True)


def _copied_as(original: Any, stream: Any) -> Any:
    """The stream, whose lines are copied into run.log if those of the original were."""
    is_new = isinstance(original, CopiedStream) and stream is not original
    return original.over(stream) if is_new else stream
