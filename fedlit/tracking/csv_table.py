"""metrics.csv in the run folder, through Lightning's logger: a line a round, a column a number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from fedlit.tracking.logger import About, Logger, Row
from fedlit.tracking.metrics_file import NAME, read


class CsvTable(Logger):
    """Writes `metrics.csv`; its column `step` is the round. The table is written again when a run is resumed."""

    def start(self, about: About) -> None:
        from lightning.pytorch.loggers import CSVLogger

        with warnings.catch_warnings():  # of the files in the run folder
            warnings.simplefilter("ignore")
            self._logger = CSVLogger(about.folder, name="", version="", flush_logs_every_n_steps=1)
            self._logger.experiment  # noqa: B018  (drops the table of the run before the resume)
        for row in read(about.folder / NAME) if about.resumed_after else []:
            if row["round"] <= about.resumed_after:
                self.round(int(row["round"]), {name: value for name, value in row.items() if name != "round"}, {})

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._logger.log_metrics(dict(row), number)
