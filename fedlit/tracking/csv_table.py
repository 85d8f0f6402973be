"""metrics.csv in the run folder, through Lightning's logger: a line a round, a column a number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedlit.tracking.logger import About, Logger, Row
from fedlit.tracking.metrics_file import NAME, read


class CsvTable(Logger):
    """Writes `metrics.csv`; its first column is the round, which Lightning names `step` once more. The table is
    written again when a run is resumed."""

    def start(self, about: About) -> None:
        from lightning.pytorch.loggers import CSVLogger

        with warnings.catch_warnings():  # of the files in the run folder
            warnings.simplefilter("ignore")
            self._logger = CSVLogger(about.folder, name="", version="", flush_logs_every_n_steps=1)
            table = self._logger.experiment  # drops the table of the run before the resume
        table.metrics_keys = _RoundFirst(table.metrics_keys)
        for row in read(about.folder / NAME) if about.resumed_after else []:
            if row["round"] <= about.resumed_after:
                self.round(int(row["round"]), row, {})

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._logger.log_metrics({**row, "round": number}, number)


class _RoundFirst(list[str]):
    """The names of the columns. Lightning sorts them whenever there are new ones."""

    def sort(self, **options: Any) -> None:
        super().sort(key=lambda name: (name != "round", name))
