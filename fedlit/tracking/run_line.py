"""A run of a sweep on the terminal: one line, which each round replaces and which goes with the run's end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

import numpy as np

from fedlit.run_log import terminal
from fedlit.tracking import terminal_text
from fedlit.tracking.logger import About, Logger, Row

_ERASE = "\r\x1b[K"


class RunLine(Logger):
    """The line; stdout has to be a terminal."""

    def start(self, about: About) -> None:
        self._about = about
        self._show(f"{about.name}  round {about.resumed_after}/{about.rounds}")

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._show(f"{self._about.name}  {terminal_text.round_line(number, self._about.rounds, row)}")

    def close(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        print(f"{_ERASE}{text[: width - 1]}\r", end="", file=terminal(sys.stdout), flush=True)
