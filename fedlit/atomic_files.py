"""Atomic replacement of files and folders: after a kill the old content or the new content is on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedlit.errors import NotWritten


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError of the block becomes NotWritten.

    Raises:
        NotWritten: the file or folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise NotWritten(path, error.strerror or error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a draft to write. The draft replaces `path` if the block ends without an error; else it is
    removed. NotWritten as in `writing`."""
    draft = path.with_name(path.name + ".tmp")
    with writing(path):
        try:
            yield draft
            _flush(draft)
            os.replace(draft, path)
        except Exception:
            with suppress(OSError):
                draft.unlink()
            raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new empty folder to write files into. It replaces `path` if the block ends without an error; else it is
    removed, which also makes room on a full disk. NotWritten as in `writing`."""
    draft = path.with_name(f".writing_{path.name}")
    with writing(path):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            for written in [*draft.iterdir(), draft]:
                _flush(written)
        except Exception:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        old = path.with_name(f".replaced_{path.name}")  # removed after the new folder is in its place
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(draft, path)
        _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8). NotWritten as in `writing`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path`. NotWritten as in `writing`."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Append to a file, which is made if needed: all of the content, or after an error nothing of it. NotWritten as in
    `writing`."""
    with writing(path), open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise


def _flush(path: Path) -> None:
    """Flush the operating system's buffers of a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
