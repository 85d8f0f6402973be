"""The contract of a logger, and what a run passes to it."""

# ruff: noqa: B027  (empty methods that are not abstract: a logger overrides only those it needs)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedlit.metric_names import Row
from fedlit.stop import Stop

Summary = dict[str, Any]
"""The content of summary.json (see `fedlit.tracking.summary.summarise`)."""

DRAWN_CLIENTS = 100
"""The histogram of classes has at most this many clients."""


@dataclass(eq=False)
class About:
    """A description of the run, known before its first round.

    Attributes:
        folder: the run folder, in which a logger writes its files.
        name: the run's name in logs and tables.
        config: the resolved configuration as plain dicts, lists and values.
        rounds: the number of the last round.
        resumed_after: rounds completed before this start; 0 for a new run. A logger drops its records of later rounds,
            because those rounds run again.
        histogram: (clients shown, classes) training samples per client and class, at most `DRAWN_CLIENTS` rows; None if
            the data has no classes.
        sizes: (clients,) training samples.
        label_names: names of the classes, or None.
        facts: lines for the terminal, such as {"model": "Mlp, 2,410 trained parameters"}.
        title: what runs, such as "fedavg · dirichlet(0.5) · digits · seed 0".
    """

    folder: Path
    name: str
    config: dict[str, Any] = field(repr=False)
    rounds: int
    resumed_after: int = 0
    histogram: np.ndarray | None = field(default=None, repr=False)
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    label_names: list[str] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    title: str = ""


class Logger(ABC):
    """Receives a run as it happens. A subclass must write `round` only.

    The run calls `start`; in each round `cohort`, `client_done` (often), `round`, `clients`; `finish` if it reaches its
    last round or is stopped by Ctrl-C; `close` always. A logger must not modify its arguments, nor draw from a global
    generator. From any of `start`, `round` and `clients` it may raise `Stop(reason)`: the run ends there.

    >>> class Printer(Logger):  # in mine.py, chosen by logger.printer._target_=mine.Printer
    ...     def round(self, number, row, pictures):
    ...         print(f"round {number}: {row['global/test/accuracy']:.0%}")
    >>> Printer().round(3, {"global/test/accuracy": 0.91}, {})
    round 3: 91%
    """

    def start(self, about: About) -> None:
        """The run starts, or continues after `about.resumed_after` rounds."""

    def cohort(self, number: int, size: int) -> None:
        """Round `number` (from 1) starts to train `size` clients."""

    def client_done(self, number: int, done: int) -> None:
        """`done` clients of round `number` have returned so far."""

    @abstractmethod
    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        """Round `number` (from 1) is complete.

        Args:
            number: rounds completed.
            row: metrics by name (`fedlit.metric_names`).
            pictures: arrays by name; "confusion" has counts (classes, classes), a row for each true class. Empty in
                rounds that are not evaluated.
        """

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        """One dict of plain numbers for each client that arrived in round `number`: "client", "examples", "steps",
        "loss" and more; under `evaluation.per_client` also for each client that was measured: "global", "used"."""

    def finish(self, summary: Summary) -> None:
        """The last round is over; `summary` is the content of summary.json."""

    def close(self) -> None:
        """Close files and restore the terminal. Called once, also after an error or Ctrl-C, possibly before `start`."""


class Loggers(Logger):
    """Several loggers as one, called in order. The empty list writes nothing (`logger=none`)."""

    def __init__(self, loggers: Iterable[Logger] = ()):
        self.loggers = list(loggers)

    def start(self, about: About) -> None:
        self._each(lambda logger: logger.start(about))

    def cohort(self, number: int, size: int) -> None:
        for logger in self.loggers:
            logger.cohort(number, size)

    def client_done(self, number: int, done: int) -> None:
        for logger in self.loggers:
            logger.client_done(number, done)

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._each(lambda logger: logger.round(number, row, pictures))

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        self._each(lambda logger: logger.clients(number, facts))

    def finish(self, summary: Summary) -> None:
        for logger in self.loggers:
            logger.finish(summary)

    def close(self) -> None:
        with ExitStack() as stack:  # all are closed, even where one fails
            for logger in reversed(self.loggers):
                stack.callback(logger.close)

    def _each(self, call: Callable[[Logger], None]) -> None:
        """Call all loggers, also those after one that raises Stop."""
        first: Stop | None = None
        for logger in self.loggers:
            try:
                call(logger)
            except Stop as stop:
                first = first or stop
        if first is not None:
            raise first
