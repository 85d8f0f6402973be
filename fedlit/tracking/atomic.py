"""Writing a small file so that a kill leaves the old one or the new one, never half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the path of a draft to write; it takes the place of `path` when the block ends without an error."""
    draft = path.with_name(path.name + ".tmp")
    yield draft
    with open(draft, "rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8), all or nothing."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path`, all or nothing."""
    with replacing(path) as draft:
        draft.write_bytes(content)
