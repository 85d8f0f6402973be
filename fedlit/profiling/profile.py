"""A run's rounds measured, and the table of their parts: printed at the end, and `profile.md` in the run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlit.atomic_files import write_text
from fedlit.engines import Engine
from fedlit.metric_names import Row
from fedlit.plurals import counted
from fedlit.profiling.parts import NOT_ACCOUNTED, wrapped
from fedlit.profiling.timer import Timer
from fedlit.tracking import Logger, Loggers
from fedlit.tracking.guarded import Guarded

NAME = "profile.md"
_LOGGED = ("cohort", "client_done", "round", "clients")


@contextmanager
def profiled(engine: Engine, loggers: Loggers, folder: Path, prints: bool) -> Iterator[None]:
    """Measure the rounds in the block, and write their table.

    Args:
        loggers: each becomes a part of its own.
        prints: also to the terminal.
    """
    device = engine.local_worker.host.device
    timer = Timer(NOT_ACCOUNTED, (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else None)
    counts = _Counts()
    for logger in loggers.loggers:
        for method in _LOGGED:
            part = f"logging: {type(logger.logger if isinstance(logger, Guarded) else logger).__name__}"
            setattr(logger, method, timer.timed(part, getattr(logger, method), undivided=True))
    loggers.loggers.append(counts)
    try:
        with wrapped(timer):
            yield
    finally:
        if counts.rounds:
            text = table(timer, counts, _title(engine))
            write_text(folder / NAME, text + "\n")
            if prints:
                print(text, flush=True)


@dataclass
class _Counts(Logger):
    """Counts rounds, and the seconds of fits wherever they ran."""

    rounds: int = 0
    fits: float = 0.0

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self.rounds += 1

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        self.fits += sum(float(client.get("seconds", 0.0)) for client in facts)


def table(timer: Timer, counts: _Counts, title: str) -> str:
    """A Markdown table of the parts, the longest first, and last what is in none of them. Parts that are shown as 0.0%
    share a line."""
    total = sum(timer.seconds.values())
    parts = sorted(timer.seconds, key=lambda name: -timer.seconds[name])
    shown = [name for name in parts if timer.seconds[name] >= 0.0005 * total and name != NOT_ACCOUNTED]
    others = [name for name in parts if name not in (*shown, NOT_ACCOUNTED)]
    cells = [["part", "seconds", "a round", "share", "calls"]]
    for name in shown:
        cells.append([name, *_numbers(timer.seconds[name], counts.rounds, total), f"{timer.calls[name]:,}"])
    if others:
        seconds, calls = sum(timer.seconds[name] for name in others), sum(timer.calls[name] for name in others)
        cells.append([counted(len(others), "other part"), *_numbers(seconds, counts.rounds, total), f"{calls:,}"])
    cells.append([NOT_ACCOUNTED, *_numbers(timer.seconds[NOT_ACCOUNTED], counts.rounds, total), ""])
    cells.append([counted(counts.rounds, "round"), *_numbers(total, counts.rounds, total), ""])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in cells]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    lines = [f"Where the time of {counted(counts.rounds, 'round')} went ({title}):", "", rows[0], rule, *rows[1:]]
    if "waiting for the workers" in timer.seconds:
        lines += ["", f"The workers' fits took {counts.fits:.2f} s together."]
    return "\n".join(lines)


def _numbers(seconds: float, rounds: int, total: float) -> list[str]:
    return [f"{seconds:.2f}", f"{seconds / rounds:.4f}", f"{seconds / total:.1%}" if total else ""]


def _title(engine: Engine) -> str:
    trainer = type(engine.local_worker.host.options).__name__.removesuffix("Trainer").lower()
    return f"trainer={trainer}, engine={type(engine).__name__.lower()}"
