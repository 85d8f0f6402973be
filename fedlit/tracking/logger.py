"""What a run tells those who write it down: the contract of every logger, the user's own included."""

# ruff: noqa: B027  (empty methods that are not abstract: a logger writes only those it has a use for)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, float | int]
"""The numbers of one round by name, such as `global/test/accuracy`; names may come and go from round to round."""

Summary = dict[str, Any]
"""What `fedlit.tracking.summary.summarise` gives: last and best round, seconds, clients lost."""

SHOWN_CLIENTS = 100
"""A histogram for people has at most this many clients; beyond that, only sizes are drawn."""


@dataclass(eq=False)
class About:
    """What a run is: known before its first round, and all a logger needs to head its page.

    Attributes:
        folder: the run folder, where a logger writes its files.
        name: what the run is called.
        config: the resolved configuration, plain dicts, lists and values.
        rounds: the last round's number.
        resumed_after: rounds completed before this start; 0 for a fresh run. What a logger wrote of later rounds,
            before a kill, is to be dropped: those rounds come again.
        histogram: (clients shown, classes) training samples per client and class, at most `SHOWN_CLIENTS` rows;
            None where the data has no classes.
        sizes: (clients,) training samples.
        label_names: the classes' names, or None.
        facts: lines for the terminal, such as {"model": "mlp, 2,410 parameters"}.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    rounds: int
    resumed_after: int = 0
    histogram: np.ndarray | None = None
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    label_names: list[str] | None = None
    facts: dict[str, str] = field(default_factory=dict)


class Logger(ABC):
    """Receives a run as it happens. Only `round` has to be written:

        class MyLogger(Logger):                 # in mine.py, chosen by `logger._target_=mine.MyLogger`
            def round(self, number, row, pictures):
                print(number, row["global/test/accuracy"])

    A logger never changes the run: it must not alter what it is given, nor draw from a global generator.
    Calls come in this order: `start`, then for each round `cohort`, `client_done` (often), `round`; `finish` if the
    run reaches its end or is interrupted between rounds; `close` always.
    """

    def start(self, about: About) -> None:
        """The run begins, or begins again after `about.resumed_after` rounds."""

    def cohort(self, number: int, size: int) -> None:
        """Round `number` (from 1) now trains `size` clients."""

    def client_done(self, number: int, done: int) -> None:
        """`done` clients of round `number` have come back."""

    @abstractmethod
    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        """Round `number` (from 1) is complete.

        Args:
            number: rounds completed.
            row: numbers by name.
            pictures: arrays by name; "confusion": (classes, classes) counts, a row for each true class.
        """

    def finish(self, summary: Summary) -> None:
        """No more rounds come; `summary` is what stands in summary.json."""

    def close(self) -> None:
        """Let go of files and of the terminal. Called once, also after an error or Ctrl-C, maybe before `start`."""


class Loggers(Logger):
    """Several loggers as one, each told in order. Empty, it is the logger that writes nothing (`logger=none`)."""

    def __init__(self, loggers: Iterable[Logger] = ()):
        self.loggers = list(loggers)

    def start(self, about: About) -> None:
        for logger in self.loggers:
            logger.start(about)

    def cohort(self, number: int, size: int) -> None:
        for logger in self.loggers:
            logger.cohort(number, size)

    def client_done(self, number: int, done: int) -> None:
        for logger in self.loggers:
            logger.client_done(number, done)

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        for logger in self.loggers:
            logger.round(number, row, pictures)

    def finish(self, summary: Summary) -> None:
        for logger in self.loggers:
            logger.finish(summary)

    def close(self) -> None:
        with ExitStack() as stack:  # all are closed, even where one fails
            for logger in reversed(self.loggers):
                stack.callback(logger.close)
