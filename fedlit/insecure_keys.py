"""A run whose keys come from its seed says so in every line of its log."""

from __future__ import annotations

import logging

NOTICE = "insecure keys (secure.insecure_keys=seed)"


def mark_every_line(handler: logging.Handler) -> None:
    """Let the handler write the notice before each line."""
    handler.setFormatter(_Marked(handler.formatter or logging.Formatter()))


class _Marked(logging.Formatter):
    def __init__(self, inner: logging.Formatter):
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"{NOTICE}: {line}" for line in self.inner.format(record).split("\n"))
