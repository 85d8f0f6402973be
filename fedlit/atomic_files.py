"""Atomic replacement of files and folders: after a kill the old content or the new content is on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a draft to write. The draft replaces `path` if the block ends without an error."""
    draft = path.with_name(path.name + ".tmp")
    yield draft
    _flush(draft)
    os.replace(draft, path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new empty folder to write files into. It replaces `path` if the block ends without an error."""
    draft = path.with_name(f".writing_{path.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    yield draft
    for written in [*draft.iterdir(), draft]:
        _flush(written)
    old = path.with_name(f".replaced_{path.name}")  # removed after the new folder is in its place
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(draft, path)
    _flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8)."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path`."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def _flush(path: Path) -> None:
    """Flush the operating system's buffers of a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
