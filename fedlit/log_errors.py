"""A log file that cannot be written any more costs a sentence, not a traceback for each line, and the run goes on."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from fedlit.errors import NotWritten, not_written


def report_errors_once(handler: logging.Handler) -> None:
    """Let a handler print one sentence at its first error of the disk, and nothing at later ones."""
    default, file = handler.handleError, getattr(handler, "baseFilename", "the log")
    reported: list[NotWritten] = []

    def handle_error(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        unwritten = not_written(error) if isinstance(error, Exception) else None
        if unwritten is None:
            default(record)
        elif not reported:
            reported.append(unwritten)
            with suppress(OSError):
                print(NotWritten(file, unwritten.reason), file=sys.__stderr__, flush=True)

    handler.handleError = handle_error  # type: ignore[method-assign]
