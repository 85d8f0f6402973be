"""No line for a run: of a single run, under progress=none, and in the processes of a sweep's jobs.

It stands apart from `RunLines`, whose imports (numpy) a single run would wait for before its first line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoLines:
    """Writes nothing. `RunLines` overrides all of it."""

    @property
    def shown(self) -> str:
        """How a run of this process shows its rounds (`progress`)."""
        return "none"

    def began(self) -> None:
        pass

    def ended(self, folder: Path, failed: bool) -> None:
        pass

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield
