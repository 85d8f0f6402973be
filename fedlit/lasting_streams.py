"""A run outlives its terminal: a closed window or pipe (`| head`), or a full disk behind `> file`, ends no run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class LastingStream:
    """A text stream that takes every text: after its first error it drops them, and also where it was closed.

    Attributes:
        error: the first error, if there was one.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop_text(error)
        except ValueError:  # closed: a handler of a logger may outlive the stream
            pass
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop_text(error)
        except ValueError:
            pass

    def _drop_text(self, error: OSError) -> None:
        self.error = self.error or error
        with suppress(OSError, ValueError):  # else Python's own flush at its end fails as well
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """In the block, `sys.stdout` and `sys.stderr` take every text."""
    before = sys.stdout, sys.stderr
    lasting = LastingStream(before[0]), LastingStream(before[1])
    sys.stdout, sys.stderr = lasting
    try:
        yield
    finally:
        for stream in lasting:
            stream.flush()
        sys.stdout, sys.stderr = before


def lost_streams() -> list[tuple[str, str]]:
    """The streams that have stopped taking text, each with the system's reason."""
    lost = []
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if isinstance(stream, LastingStream):
            stream.flush()
            if stream.error is not None:
                lost.append((name, stream.error.strerror or str(stream.error)))
    return lost
