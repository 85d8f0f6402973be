"""Two processes that hand each other values: the main process and a worker."""

from __future__ import annotations

import io
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

from fedlit.engines.serialization import Parcel, memory_file, pack

_GIVEN, _PUT, _PUT_AGAIN = "given", "put", "put again"  # where a parcel's memory is, if it does not come along


class Channel:
    """One end. Where the other side is gone, everything here raises EOFError or OSError."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self._mine, self._known = memory_file(), False  # what is put here; whether the other side has it
        self._theirs: io.FileIO | None = None

    def put(self, kind: str, value: Any) -> int:
        """Hand over a value in memory that is used again and again, for to get new memory takes longer than to fill it.

        The other side has to have read what was put before, as it has when its answer is here. Gives the bytes.
        """
        parcel = pack(value, self._mine)
        self._send(kind, parcel, _PUT_AGAIN if self._known else _PUT)
        self._known = self._known or not isinstance(parcel.memory, bytes)
        return parcel.size

    def give(self, kind: str, parcel: Parcel) -> None:
        """Hand over a parcel that others get too, and that nobody writes to any more."""
        self._send(kind, parcel, _GIVEN)

    def _send(self, kind: str, parcel: Parcel, where: str) -> None:
        memory = parcel.memory
        if isinstance(memory, bytes):
            self.connection.send((kind, parcel.sizes, memory))
            return
        self.connection.send((kind, parcel.sizes, where))
        if where != _PUT_AGAIN:
            send_handle(self.connection, memory.fileno(), 0)

    def receive(self) -> tuple[str, Parcel]:
        """What the other side gave, or what it put, to be read at once."""
        kind, sizes, where = self.connection.recv()
        if isinstance(where, bytes):
            return kind, Parcel(sizes, where)
        if where == _GIVEN:
            return kind, Parcel(sizes, io.FileIO(recv_handle(self.connection), "rb"))
        if where == _PUT:
            self._theirs = io.FileIO(recv_handle(self.connection), "rb")
        assert self._theirs is not None
        return kind, Parcel(sizes, self._theirs)

    def close(self) -> None:
        self.connection.close()
        self._mine.close()
        if self._theirs is not None:
            self._theirs.close()
