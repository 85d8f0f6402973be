"""`metrics.jsonl` and `clients.jsonl`, read line by line, without numpy: a command reads runs before it loads more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class Lines(NamedTuple):
    """The records of a file with one JSON object a line, each with its "round"."""

    records: list[dict[str, Any]]
    unread: int  # lines that are no such object, because a kill cut them off


def read_lines(path: Path) -> Lines:
    """The lines of `metrics.jsonl` or `clients.jsonl`. null stays None; a line that cannot be read is counted."""
    records, unread = [], 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if isinstance(record, dict) and "round" in record:
                records.append(record)
            else:
                unread += 1
    return Lines(records, unread)
