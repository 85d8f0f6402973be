"""The pictures in the run folder: partition.png and curves.png."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedlit.tracking.canvas import save
from fedlit.tracking.curves_figure import curves_figure
from fedlit.tracking.logger import About, Logger, Row, Summary
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.partition_figure import partition_figure


class Figures(Logger):
    """Writes partition.png at the start and curves.png at the end, the latter from metrics.jsonl: stands after its
    logger, and is right after a resume too."""

    def start(self, about: About) -> None:
        self._about = about
        save(partition_figure(about), about.folder / "partition.png")

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pass

    def finish(self, summary: Summary) -> None:
        figure = curves_figure(read(self._about.folder / NAME), self._about.name)
        if figure is not None:
            save(figure, self._about.folder / "curves.png")
