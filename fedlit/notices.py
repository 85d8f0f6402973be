"""Warnings about a module, each once in a run, also where several worker processes give it."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class _Once(logging.Filter):
    """Lets a text pass the first time. The main process logs the warnings of its workers again, through this filter."""

    def __init__(self) -> None:
        super().__init__()
        self.given: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_new = text not in self.given
        self.given.add(text)
        return is_new


_once = _Once()
log.addFilter(_once)


def warn(sentence: str) -> None:
    """Warn with a sentence that has no number that changes from client to client."""
    log.warning("%s", sentence)


def begin_run() -> None:
    """Every warning may be given again."""
    _once.given.clear()
