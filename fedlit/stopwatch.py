"""Seconds, lap by lap."""

from __future__ import annotations

import time


class Stopwatch:
    def __init__(self) -> None:
        self._last, self.laps = time.perf_counter(), dict[str, float]()

    def lap(self, name: str) -> None:
        """The time since the lap before, or since the start, is `name`'s."""
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now

    @property
    def total(self) -> float:
        return sum(self.laps.values())

    def row(self) -> dict[str, float]:
        """`time/<lap>` -> seconds."""
        return {f"time/{name}": seconds for name, seconds in self.laps.items()}
