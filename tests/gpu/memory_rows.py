"""A logger that keeps the memory of this process after each round."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.memory import resident
from fedlit.tracking import Logger
from fedlit.tracking.logger import Row


@dataclass(frozen=True)
class Memory:
    """Bytes on the GPU now, and at most since the round before; MB of this process in main memory."""

    allocated: int
    highest: int
    resident: float


class MemoryRows(Logger):
    """`rows` is of the class, because the run builds the object."""

    rows: list[Memory] = []  # noqa: RUF012

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        gc.collect()  # reference cycles that wait for the collector are no leak
        allocated = highest = 0
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
            allocated, highest = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        MemoryRows.rows.append(Memory(allocated, highest, resident("self") or 0.0))
