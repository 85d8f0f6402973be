"""TensorBoard's file of events, written without its thread: an error of the disk reaches the run."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlit.atomic_files import append


class _Events:
    """Takes the place of TensorBoard's asynchronous writer, whose thread prints a traceback if the disk is full.

    A flush appends its events as a whole or not at all, so that the file ends with a complete one.

    Args:
        record_writer: TensorBoard's; it frames an event by its length and checksums.
    """

    def __init__(self, record_writer: Any, *_: Any):
        file = record_writer._writer
        self._path = Path(os.fsdecode(getattr(file, "filename", None) or file.name))  # `name` if TensorFlow is installed
        self._pending = io.BytesIO()
        self._records = type(record_writer)(self._pending)
        self._lock = threading.Lock()  # pictures are added from a thread

    def write(self, event: bytes) -> None:
        with self._lock:
            self._records.write(event)

    def flush(self) -> None:
        with self._lock:
            events = self._pending.getvalue()
            self._pending.seek(0)
            self._pending.truncate()
            append(self._path, events)

    def close(self) -> None:
        self.flush()


@contextmanager
def written_at_once() -> Iterator[None]:
    """A SummaryWriter that is made in the block appends to its file at each flush, in the thread that flushes.

    Its `flush` and `close` raise NotWritten if the file cannot be written.
    """
    from tensorboard.summary.writer import event_file_writer

    original = event_file_writer._AsyncWriter
    event_file_writer._AsyncWriter = _Events
    try:
        yield
    finally:
        event_file_writer._AsyncWriter = original
