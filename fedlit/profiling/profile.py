"""A run's rounds measured, and the table of their parts: printed at the end, and `profile.md` in the run folder."""

from __future__ import annotations

import math
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
from fedlit.tracking import Logger, Loggers, MetricsFile, clients_file, metrics_file
from fedlit.tracking.clients_file import ClientsFile
from fedlit.tracking.figures import Figures
from fedlit.tracking.guarded import Guarded
from fedlit.tracking.log_lines import LogLines

NAME = "profile.md"
_SMALLEST = 0.001  # share of a part that has a line
_FILES = {MetricsFile: metrics_file.NAME, ClientsFile: clients_file.NAME, Figures: "figures", LogLines: "run.log"}
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
            part = timer.timed(f"logging: {_name(logger)}", getattr(logger, method), undivided=True)
            setattr(logger, method, part)
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


def _name(logger: Logger) -> str:
    """What users call it: the option of `logger=`, or the file that it writes."""
    if isinstance(logger, Guarded):
        return logger.name
    return next((name for kind, name in _FILES.items() if isinstance(logger, kind)), "terminal")


def table(timer: Timer, counts: _Counts, title: str) -> str:
    """A Markdown table of the parts, the longest first, and last what is in none of them. Parts of less than 0.1% share
    a line."""
    total = sum(timer.seconds.values())
    parts = sorted(timer.seconds, key=lambda name: -timer.seconds[name])
    shown = [name for name in parts if timer.seconds[name] >= _SMALLEST * total and name != NOT_ACCOUNTED]
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
    shown = [f"{seconds / number:.{_decimals(total / number)}f}" for number in (1, rounds)]
    return [*shown, f"{seconds / total:.1%}" if total else ""]


def _decimals(total: float) -> int:
    """Of the numbers of a column: the smallest part of the total that has a line is not shown as zero.

    >>> [_decimals(total) for total in (500, 8, 0.6)]
    [2, 3, 4]
    """
    return max(2, -math.floor(math.log10(_SMALLEST * total))) if total else 2


def _title(engine: Engine) -> str:
    trainer = type(engine.local_worker.host.options).__name__.removesuffix("Trainer").lower()
    return f"trainer={trainer}, engine={type(engine).__name__.lower()}"
