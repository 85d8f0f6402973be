"""The command: `python -m fedlit.vertical.what_travels <run folder>` prints what has travelled between the parties.

It reads the ledger, messages.jsonl, alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlit.errors import REFUSED, InputError
from fedlit.round_lines import read_lines
from fedlit.tracking.terminal_text import size

_LEDGER = "messages.jsonl"
_HEADS = ("phase", "from", "to", "what", "times", "values", "bytes", "how")


def table(folder: Path) -> str:
    """A line for each sender, receiver, message and part, summed over rounds, in markdown.

    Args:
        folder: of the run.

    Raises:
        InputError: it has no ledger.
    """
    path = folder / _LEDGER
    if not path.exists():
        raise InputError(f"{folder}: there is no {_LEDGER} in it; give the folder of a run of parties.")
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in read_lines(path).records:
        what = f"{entry['message']}.{entry['part']}" if entry["part"] else entry["message"]
        key = (entry["phase"], entry["from"], entry["to"], what, entry["sealed"])
        row = sums.setdefault(key, {"count": 0, "values": 0, "bytes": 0, "why": entry.get("why", "")})
        for name in ("count", "values", "bytes"):
            row[name] += entry[name]
    lines = [_HEADS, *(_cells(key, row) for key, row in sums.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS) - 1)]
    rows = [" | ".join([*map(str.ljust, line, widths), line[-1]]) for line in lines]
    rule = "-|-".join(["-" * width for width in widths] + ["---"])
    total = size(sum(row["bytes"] for row in sums.values()))
    sealed = size(sum(row["bytes"] for key, row in sums.items() if key[-1]))
    return "\n".join([rows[0], rule, *rows[1:], "", f"{total} in all, {sealed} of it sealed."])


def _cells(key: tuple[Any, ...], row: dict[str, Any]) -> tuple[str, ...]:
    phase, sender, receiver, what, is_sealed = key
    how = "sealed" if is_sealed else f"clear: {row['why']}"
    return (phase, sender, receiver, what, f"{row['count']:,}", f"{row['values']:,}", size(row["bytes"]), how)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1 or given[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if given and len(given) == 1 else REFUSED
    try:
        print(table(Path(given[0])))
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
