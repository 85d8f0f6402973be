"""A logger that writes into another program's store, and goes on in the same run there when the run is resumed.

A round that the store has is not sent again, because it comes again with the same numbers. A round before the
checkpoint that the store lacks is sent from metrics.jsonl: a kill loses what the program had not written yet.
"""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fedlit.atomic_files import write_text
from fedlit.errors import InputError
from fedlit.global_generators import preserved_cpu_generators
from fedlit.sweeps.sweep_record import sweep_of
from fedlit.tracking.logger import About, Logger, Row, Summary
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.summary import is_complete

FILE = "loggers.json"
"""In the run folder: where each service keeps the run, {"wandb": "3f9a0c27"}."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

COMPLETE, STOPPED, FAILED = "complete", "stopped", "failed"
"""How a run ended: with its last round or an early stop, by a signal, by an error."""


class Service(Logger):
    """The part that services share. A subclass opens a run, sends one round to it, and ends it.

    Attributes:
        key: the name of the service in `loggers.json`.
    """

    key = ""

    def __init__(self) -> None:
        self._newest: Mapping[str, int] | int = 0
        self._ended = FAILED
        self._is_open = False

    def start(self, about: About) -> None:
        self._about = about
        with preserved_cpu_generators():
            self._newest = self.open(about, _noted(about.folder).get(self.key))
        self._is_open = True
        if about.resumed_after:
            for row in read(about.folder / NAME):
                if row["round"] <= about.resumed_after:
                    self._send(int(row["round"]), row)

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._send(number, row)

    def finish(self, summary: Summary) -> None:
        self._ended = COMPLETE if is_complete(summary, self._about.rounds) else STOPPED

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.end(self._ended)

    @abstractmethod
    def open(self, about: About, known: str | None) -> Mapping[str, int] | int:
        """Begin a run in the store, or go on in the one that is `known`.

        Returns:
            The newest round that the store has: one number, or one for each metric.
        """

    @abstractmethod
    def send(self, number: int, row: Row) -> None:
        """Write the metrics of a round."""

    @abstractmethod
    def end(self, how: str) -> None:
        """End the run: it is COMPLETE, STOPPED or FAILED."""

    def note(self, run: str) -> None:
        """Note how the service calls the run, for a resume."""
        noted = _noted(self._about.folder) | {self.key: run}
        write_text(self._about.folder / FILE, json.dumps(noted, indent=2) + "\n")

    def _send(self, number: int, row: Row) -> None:
        newest = self._newest
        new = {
            name: value
            for name, value in row.items()
            if name != "round" and number > (newest if isinstance(newest, int) else newest.get(name, 0))
        }
        if new:
            self.send(number, new)


def sweep_name(folder: Path) -> str | None:
    """The date and time of the sweep that a run belongs to, as in its folder; None for a single run."""
    sweep = sweep_of(folder)
    return None if sweep is None else " ".join(sweep[0].parts[-2:])


def checked_options(service: str, options: Mapping[str, Any], of_the_run: Sequence[str]) -> dict[str, Any]:
    """Further arguments of a service, as a dict.

    Args:
        of_the_run: arguments by which a run is found when it goes on.

    Raises:
        InputError: the options have one of these.
    """
    for name in of_the_run:
        if name in options:
            instead = "write name=<name> for the name" if name == "name" else "leave it out"
            raise InputError(
                f"logger.{service}.options.{name}={options[name]}: a run sets {name} itself, to go on in the same run "
                f"of {service} when it is resumed; {instead}."
            )
    return dict(options)


def corrections(service: str, project: str, options: Mapping[str, Any]) -> str:
    """What to correct where a service refuses its arguments."""
    has = f" (options has {', '.join(map(str, options))})" if options else ""
    return f"correct logger.{service}.project={project} or another key of logger.{service}{has}"


def new_id() -> str:
    """A name that no other run has. It is drawn from the system, and not from the global generators."""
    return secrets.token_hex(4)


def _noted(folder: Path) -> dict[str, Any]:
    try:
        noted = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
