"""A run whose keys come from its seed says so in every line of its log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

NOTICE = "insecure keys (secure.insecure_keys=seed)"


def say_so(config: DictConfig) -> None:
    """Let every handler of the root logger write the notice before each line, if a part of the run takes keys from the
    seed. Where no part of it does, a warning says that the option has no effect."""
    chosen = OmegaConf.select(config, "secure.insecure_keys")
    parts = [config.get("reduction"), *(config.get("uplink") or {}).values()]
    options = [part for part in parts if isinstance(part, Mapping)]
    if any(part.get("insecure_keys") is not None for part in options):
        for handler in logging.getLogger().handlers:
            mark_every_line(handler)
    elif chosen is not None:
        log.warning(
            "secure.insecure_keys=%s has no effect: it is for keys of reduction=secure and uplink=[seal]; others come "
            "from the operating system",
            chosen,
        )


def mark_every_line(handler: logging.Handler) -> None:
    """Let the handler write the notice before each line."""
    handler.setFormatter(_Marked(handler.formatter or logging.Formatter()))


class _Marked(logging.Formatter):
    def __init__(self, inner: logging.Formatter):
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"{NOTICE}: {line}" for line in self.inner.format(record).split("\n"))
