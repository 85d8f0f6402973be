"""metrics.jsonl: one line per round, `{"round": 3, "global/test/accuracy": 0.91, ...}`.

Every line is valid JSON. JSON has no NaN and no infinity: both are written as null and read as NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import numpy as np

from fedlit.atomic_files import append, write_text
from fedlit.round_lines import read_lines
from fedlit.tracking.logger import About, Logger, Row

NAME = "metrics.jsonl"


class MetricsFile(Logger):
    """Writes metrics.jsonl into the run folder. The file is closed after every line, so lines survive SIGKILL."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._last = 0

    def start(self, about: About) -> None:
        """Drop the rows of rounds that run again, and a line that a kill cut off."""
        self._path, self._last = about.folder / NAME, about.resumed_after
        rows = read(self._path) if self._path.exists() else []
        write_text(self._path, "".join(_line(row) for row in rows if row["round"] <= about.resumed_after))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        """
        Raises:
            ValueError: the file already has this round or a later one.
        """
        assert self._path is not None, "start() comes first"
        if number <= self._last:
            raise ValueError(f"round {number} comes after round {self._last} in {NAME}")
        append(self._path, _line({"round": number, **row}).encode())
        self._last = number


def read(path: Path) -> list[Row]:
    """The rows of a metrics file, each with its "round". null becomes NaN; a line that a kill cut off is skipped."""
    return [
        {name: math.nan if value is None else value for name, value in row.items()} for row in read_lines(path).records
    ]


def _line(row: Row) -> str:
    return json.dumps({name: plain(value) for name, value in row.items()}, allow_nan=False) + "\n"


def plain(value: float) -> float | int | None:
    """A number, also a scalar of numpy or torch, as JSON can hold it: an int, a finite float, or None."""
    if isinstance(value, Integral):
        return int(value)
    value = float(value)
    return value if math.isfinite(value) else None
