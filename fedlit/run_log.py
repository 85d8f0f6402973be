"""run.log holds what the terminal shows: what is logged, Python's warnings, and what is printed.

Hydra's file handler writes the log. In a run, Python's warnings are logged, and `sys.stdout` and `sys.stderr` copy each
line into it. Progress has its own lines there (`tracking/log_lines.py`), because bars are drawn with control codes.
"""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeGuard

from fedlit.lasting_streams import lost_streams

log = logging.getLogger(__name__)
_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f]")
_LONG = 1 << 16  # characters of a line after which what a progress bar has overwritten is dropped


def plain(text: str) -> str:
    """Text without control codes; of a line that was overwritten, as by a progress bar, the last state."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(_CODES.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines)


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """In the block, the log in `folder` holds what the terminal shows. Without a log (`hydra/job_logging=none`)
    nothing changes."""
    handlers = [handler for handler in logging.getLogger().handlers if _lies_in(handler, folder)]
    if not handlers:
        yield
        return
    for handler in handlers:
        _write_any_text(handler)
        handler.setFormatter(_Plain(handler.formatter or logging.Formatter()))
    apart = [logger for logger in _loggers() if logger.handlers and not logger.propagate]
    for logger, handler in itertools.product(apart, handlers):
        logger.addHandler(handler)
    before = sys.stdout, sys.stderr

    def write(line: str) -> None:
        record = logging.LogRecord("terminal", logging.INFO, "", 0, "%s", (line,), None)
        for handler in handlers:
            handler.handle(record)

    copies = CopiedStream(before[0], write), CopiedStream(before[1], write)
    sys.stdout, sys.stderr = copies
    try:
        with logged_warnings():
            yield
    finally:
        sys.stdout, sys.stderr = before
        for name, reason in lost_streams():
            log.warning("%s could not be written any more (%s); run.log has what was printed.", name, reason)
        for copy in copies:
            copy.end_line()
        for logger, handler in itertools.product(apart, handlers):
            logger.removeHandler(handler)


def note(text: str) -> None:
    """Write a text into the log alone."""
    if isinstance(sys.stdout, CopiedStream):
        sys.stdout.write_line(text)


def terminal(stream: Any) -> Any:
    """The stream of the terminal: text that is written to it is not copied into the log."""
    return stream.terminal if isinstance(stream, CopiedStream) else stream


class CopiedStream:
    """A text stream whose lines are passed to a function as well."""

    def __init__(self, terminal: TextIO, write_line: Callable[[str], None]):
        self.terminal, self.write_line = terminal, write_line
        self._line = ""  # the last one, which has no end yet

    def write(self, text: str) -> int:
        count = self.terminal.write(text)
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > _LONG:
            self._line = self._line.rstrip("\r").rpartition("\r")[2]
        for line in lines:
            if line.strip():
                self.write_line(line)
        return count

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def end_line(self) -> None:
        """Pass on a last line without an end."""
        if self._line.strip():
            self.write("\n")

    def over(self, stream: TextIO) -> CopiedStream:
        """The same for another stream of the terminal, such as one that prints above a bar."""
        return CopiedStream(stream, self.write_line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextmanager
def logged_warnings() -> Iterator[None]:
    """In the block, Python's warnings are logged, so that they reach the log and not the terminal alone."""
    before = log_warnings()
    try:
        yield
    finally:
        warnings.showwarning = before


def log_warnings() -> Any:
    """Log Python's warnings from now on; the function that showed them before."""
    before = warnings.showwarning
    log = logging.getLogger("py.warnings")

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if file is not None:
            before(message, category, filename, lineno, file, line)
            return
        log.warning("%s", warnings.formatwarning(message, category, filename, lineno, line).rstrip())

    warnings.showwarning = show
    return before


def _loggers() -> list[logging.Logger]:
    return [entry for entry in logging.Logger.manager.loggerDict.values() if isinstance(entry, logging.Logger)]


class _Plain(logging.Formatter):
    """The text of another formatter without control codes."""

    def __init__(self, formatter: logging.Formatter):
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return plain(self._formatter.format(record))


def _write_any_text(handler: logging.FileHandler) -> None:
    """UTF-8 instead of the locale's encoding, which may lack a character. Not a setting of `hydra.job_logging`: some of
    its options have no file."""
    if handler.encoding in (None, "locale"):
        handler.encoding = "utf-8"
    handler.errors = handler.errors or "backslashreplace"
    if isinstance(handler.stream, io.TextIOWrapper):  # none yet with `delay: true`
        handler.stream.reconfigure(encoding=handler.encoding, errors=handler.errors)


def _lies_in(handler: logging.Handler, folder: Path) -> TypeGuard[logging.FileHandler]:
    return isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder.absolute()
