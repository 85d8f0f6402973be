"""The progress of a run as lines in run.log: its opening, every round, and the last line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedlit.run_log import note
from fedlit.tracking import terminal_text
from fedlit.tracking.logger import About, Logger, Row, Summary


class LogLines(Logger):
    """Writes what `progress=plain` would print, of every round and whatever `progress` is."""

    def start(self, about: About) -> None:
        self._about = about
        note(terminal_text.opening(about))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        note(terminal_text.round_line(number, self._about.rounds, row))

    def finish(self, summary: Summary) -> None:
        note(terminal_text.closing(self._about, summary))
