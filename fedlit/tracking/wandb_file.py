"""The rounds in the files of an offline run of Weights & Biases, which the package itself has no function to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE_HEADER = 7  # ":W&B" and a version
_BLOCK = 32 * 1024
_HEADER = 7  # of a chunk: checksum (4 bytes), length (2), kind (1)
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def rounds_written(folder: Path, run: str) -> int:
    """The newest round of a run in its offline files; 0 if there is none.

    Args:
        folder: in which the package writes, "wandb" in the run folder. It may have files of other runs as well.
        run: its id.
    """
    files = folder.glob(f"offline-run-*-{run}*/run-*.wandb")  # -1 in the same second
    return max((step for file in files for step, _ in history(file)), default=0)


def history(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(step, {name: value as JSON}) of each row of a file, up to its end or to a record that a kill cut off."""
    from wandb.proto.wandb_internal_pb2 import Record

    for content in _records(path.read_bytes()):
        record: Any = Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            yield record.history.step.num, items


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a file in the format of LevelDB's log: chunks, none of which crosses a block's end."""
    place, pending = _FILE_HEADER, b""
    while place + _HEADER <= len(content):
        room = _BLOCK - place % _BLOCK
        if room < _HEADER:
            place += room
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        chunk = content[place + _HEADER : place + _HEADER + length]
        if len(chunk) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            return
        place += _HEADER + length
        pending = chunk if kind in (_WHOLE, _FIRST) else pending + chunk
        if kind in (_WHOLE, _LAST):
            yield pending
