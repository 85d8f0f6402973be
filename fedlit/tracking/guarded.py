"""A logger of `logger=`, whose failure in the middle of a run does not end the run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fedlit.errors import InputError, not_written, one_line
from fedlit.run_log import note
from fedlit.stop import Stop
from fedlit.tracking.logger import About, Logger, Row, Summary

log = logging.getLogger(__name__)


class Guarded(Logger):
    """Passes a run on to a logger, until that raises an exception after the start.

    A service that cannot be reached, or a mistake in a picture of the user's, must not cost the rounds of a night: all
    numbers are in metrics.jsonl. The exception becomes one warning, its trace stands in run.log, and the logger
    receives nothing more until the run is resumed. An exception in `start` ends the run before its first round, and
    the exceptions with a meaning of their own always end it: `Stop`, an `InputError`, a full disk, a signal.
    """

    def __init__(self, name: str, logger: Logger):
        self.name, self.logger = name, logger
        self._failed = False

    def start(self, about: About) -> None:
        self.logger.start(about)

    def cohort(self, number: int, size: int) -> None:
        self._pass_on(f"in round {number}", lambda: self.logger.cohort(number, size))

    def client_done(self, number: int, done: int) -> None:
        self._pass_on(f"in round {number}", lambda: self.logger.client_done(number, done))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._pass_on(f"in round {number}", lambda: self.logger.round(number, row, pictures))

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        self._pass_on(f"in round {number}", lambda: self.logger.clients(number, facts))

    def finish(self, summary: Summary) -> None:
        self._pass_on("at the end of the run", lambda: self.logger.finish(summary))

    def close(self) -> None:
        self._failed = False  # what it has opened is closed in any case
        self._pass_on("when it was closed", self.logger.close)

    def _pass_on(self, when: str, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:
            if isinstance(error, InputError | Stop) or not_written(error) is not None:
                raise
            self._failed = True
            note("".join(traceback.format_exception(error)))
            log.warning(
                "logger.%s failed %s and receives nothing more; metrics.jsonl has all numbers, and run.log the trace "
                "(%s)",
                self.name,
                when,
                one_line(error),
            )
