"""The seconds of each part of a round."""

from __future__ import annotations

import time

from fedlit.metric_names import lap_time


class Stopwatch:
    """Measures consecutive laps.

    Attributes:
        laps: name -> seconds.
    """

    def __init__(self) -> None:
        self._last, self.laps = time.perf_counter(), dict[str, float]()

    def lap(self, name: str) -> None:
        """End a lap: the time since the last one, or since the start, counts as `name`."""
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now

    @property
    def total(self) -> float:
        return sum(self.laps.values())

    def row(self) -> dict[str, float]:
        """`time/<lap>` -> seconds."""
        return {lap_time(name): seconds for name, seconds in self.laps.items()}
