"""A logger that records the resident memory of the process after each round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedlit.tracking import About, Logger
from fedlit.tracking.logger import Row


class Resident(Logger):
    """resident.json in the run folder: MiB after each round since this start."""

    def start(self, about: About) -> None:
        self.file, self.mebibytes = about.folder / "resident.json", list[float]()

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.mebibytes.append(pages * 4096 / 2**20)
        self.file.write_text(json.dumps(self.mebibytes))
