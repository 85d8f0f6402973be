"""Optuna and its sweeper, silenced: the lines of the sweep say how each run ended."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("optuna", "hydra_plugins.hydra_optuna_sweeper")


@contextmanager
def no_optuna_log() -> Iterator[None]:
    """In the block, errors of Optuna alone are shown, and nothing of its sweeper, which has warnings for each run
    without a result."""
    if "hydra_plugins.hydra_optuna_sweeper" in sys.modules:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    loggers[1].setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
