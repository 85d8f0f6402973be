"""One end of the connection between the main process and a worker process."""

from __future__ import annotations

import io
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

from fedlit.engines.serialization import Packed, memory_file, pack

# the file that holds a message; the file's descriptor follows, unless the receiver already has it
_SHARED, _NEW_BUFFER, _SAME_BUFFER = "shared", "new buffer", "same buffer"


class Channel:
    """Sends and receives messages. All methods raise EOFError or OSError once the other process is gone.

    Each end has one memfd for its messages, the send buffer, because allocating memory is slower than filling it.
    """

    def __init__(self, connection: Connection):
        self.connection = connection
        self._send_buffer = memory_file()
        self._receiver_has_buffer = False
        self._receive_buffer: io.FileIO | None = None  # the send buffer of the other end

    def send(self, kind: str, value: Any) -> None:
        """Send a value through the send buffer.

        The previous message is overwritten: send only after the receiver has read it, which a reply shows.
        """
        packed = pack(value, self._send_buffer)
        self._send(kind, packed, _SAME_BUFFER if self._receiver_has_buffer else _NEW_BUFFER)
        self._receiver_has_buffer = self._receiver_has_buffer or not isinstance(packed.memory, bytes)

    def share(self, kind: str, packed: Packed) -> None:
        """Send a value that several processes receive. Its memory must not be written to any more."""
        self._send(kind, packed, _SHARED)

    def _send(self, kind: str, packed: Packed, file: str) -> None:
        memory = packed.memory
        if isinstance(memory, bytes):
            self.connection.send((kind, packed.sizes, memory))
            return
        self.connection.send((kind, packed.sizes, file))
        if file != _SAME_BUFFER:
            send_handle(self.connection, memory.fileno(), 0)

    def receive(self) -> tuple[str, Packed]:
        """Kind and value of the next message. Unpack a value that was sent by `send` at once."""
        kind, sizes, file = self.connection.recv()
        if isinstance(file, bytes):
            return kind, Packed(sizes, file)
        if file == _SHARED:
            return kind, Packed(sizes, io.FileIO(recv_handle(self.connection), "rb"))
        if file == _NEW_BUFFER:
            self._receive_buffer = io.FileIO(recv_handle(self.connection), "rb")
        assert self._receive_buffer is not None
        return kind, Packed(sizes, self._receive_buffer)

    def close(self) -> None:
        self.connection.close()
        self._send_buffer.close()
        if self._receive_buffer is not None:
            self._receive_buffer.close()
