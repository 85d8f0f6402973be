"""The pictures in the run folder: partition.png and curves.png."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from fedlit.atomic_files import write_bytes
from fedlit.tracking.canvas import drawing, png
from fedlit.tracking.curves_figure import curves_figure
from fedlit.tracking.logger import About, Logger, Row, Summary
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.partition_figure import partition_png

PATIENCE = 5.0  # seconds from the start of the rounds to the first picture


class Figures(Logger):
    """Writes partition.png and curves.png. The first rounds do not wait for them.

    partition.png is drawn when the run has lasted `PATIENCE`, or at its end. curves.png is drawn at the end from
    metrics.jsonl, so this logger has to come after the one that writes it; the curves are complete after a resume, too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._partition_due = float("inf")  # when partition.png is drawn, on the clock

    def start(self, about: About) -> None:
        self._about = about
        self._partition_due = self._clock() + PATIENCE

    def client_done(self, number: int, done: int) -> None:
        self._draw_partition_if_due()

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._draw_partition_if_due()

    def finish(self, summary: Summary) -> None:
        with drawing("curves.png"):
            figure = curves_figure(read(self._about.folder / NAME), self._about.name)
            if figure is not None:
                write_bytes(self._about.folder / "curves.png", png(figure))

    def close(self) -> None:
        if self._partition_due < float("inf"):
            self._draw_partition()

    def _draw_partition_if_due(self) -> None:
        if self._clock() >= self._partition_due:
            self._draw_partition()

    def _draw_partition(self) -> None:
        self._partition_due = float("inf")
        with drawing("partition.png"):
            write_bytes(self._about.folder / "partition.png", partition_png(self._about))
