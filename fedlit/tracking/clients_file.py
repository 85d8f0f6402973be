"""clients.jsonl: one line per client and round, with each of its local epochs (`evaluation.each_epoch=true`), or with
the metrics of its models (`evaluation.per_client=true`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlit.atomic_files import append, write_text
from fedlit.metric_names import Row
from fedlit.tracking.logger import About, Logger
from fedlit.tracking.metrics_file import plain

NAME = "clients.jsonl"


class ClientsFile(Logger):
    """Writes `{"round": 3, "client": 17, "examples": 60, "loss": 0.41, "used": {"accuracy": 0.9, ...}, ...}`."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def start(self, about: About) -> None:
        """Drop the lines of rounds that run again after a kill, and a line that the kill cut off."""
        self._path = about.folder / NAME
        if not self._path.exists():
            return
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["round"] <= about.resumed_after:
                    kept.append(line + "\n")
            except ValueError:
                continue
        write_text(self._path, "".join(kept))

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        pass

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        assert self._path is not None, "start() comes first"
        lines = (json.dumps({"round": number, **plain_values(client)}, allow_nan=False) + "\n" for client in facts)
        append(self._path, "".join(lines).encode())


def plain_values(value: Any) -> Any:
    """What was noted of a client, as JSON can hold it. A metric's pair (sum, number of samples) becomes its mean, and a
    number that is not finite None."""
    if isinstance(value, Mapping):
        return {name: plain_values(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain_values(part) for part in value]
    if isinstance(value, tuple):
        total, count = value
        return plain(total / count)
    return value if isinstance(value, str | bool | None) else plain(value)
