"""TensorBoard's file of events, written without its thread: an error of the disk reaches the run."""

from __future__ import annotations

import io
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlit.atomic_files import append

_numbers = itertools.count()


class EventFile:
    """Takes the place of TensorBoard's `EventFileWriter`, whose thread prints a traceback if the disk is full, and
    which takes no path that is not UTF-8.

    A flush appends its events as a whole or not at all, so that the file ends with a complete one.
    """

    def __init__(self, folder: str, *_: Any):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        begun = time.time()
        name = f"events.out.tfevents.{int(begun):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._folder, self._path = folder, Path(folder, name)
        self._pending = io.BytesIO()
        self._records = RecordWriter(self._pending)  # frames an event by its length and checksums
        self._lock = threading.Lock()  # pictures are added from a thread
        self.add_event(Event(wall_time=begun, file_version="brain.Event:2"))
        self.flush()

    def get_logdir(self) -> str:
        return self._folder

    def add_event(self, event: Any) -> None:
        with self._lock:
            self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """NotWritten if the file cannot be written; its events are dropped then."""
        with self._lock:
            events = self._pending.getvalue()
            self._pending.seek(0)
            self._pending.truncate()
            append(self._path, events)

    def close(self) -> None:
        self.flush()


@contextmanager
def used_by_tensorboard() -> Iterator[None]:
    """A SummaryWriter that is made in the block writes to an `EventFile`."""
    from torch.utils.tensorboard import writer

    original = writer.EventFileWriter
    writer.EventFileWriter = EventFile
    try:
        yield
    finally:
        writer.EventFileWriter = original
