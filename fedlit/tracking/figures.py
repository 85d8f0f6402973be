"""The pictures in the run folder: partition.png, curves.png and clients.png."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedlit.atomic_files import write_bytes
from fedlit.round_lines import read_lines
from fedlit.tracking.canvas import Background, drawing, png
from fedlit.tracking.client_curves_figure import client_curves_figure
from fedlit.tracking.clients_file import NAME as CLIENTS
from fedlit.tracking.curves_figure import curves_figure
from fedlit.tracking.logger import About, Logger, Row, Summary
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.partition_figure import partition_png


class Figures(Logger):
    """Draws partition.png beside the first round, and curves.png at the end; clients.png too if clients were measured.

    The curves come from metrics.jsonl and clients.jsonl, so this logger has to come after those that write them; they
    are complete after a resume, too.
    """

    def __init__(self) -> None:
        self._background = Background()

    def start(self, about: About) -> None:
        self._about = about
        if not len(about.sizes):  # parties with columns
            return
        path = about.folder / "partition.png"
        self._background.draw("partition.png", lambda: write_bytes(path, partition_png(about)))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pass

    def finish(self, summary: Summary) -> None:
        with drawing("curves.png"):
            figure = curves_figure(read(self._about.folder / NAME), self._title())
            if figure is not None:
                write_bytes(self._about.folder / "curves.png", png(figure))
        if not (self._about.folder / CLIENTS).exists():
            return
        with drawing("clients.png"):
            figure = client_curves_figure(read_lines(self._about.folder / CLIENTS).records, self._about.name)
            if figure is not None:
                write_bytes(self._about.folder / "clients.png", png(figure))

    def _title(self) -> str:
        """The run's name, and what runs."""
        return ": ".join(filter(None, (self._about.name, self._about.title)))

    def close(self) -> None:
        self._background.wait()
