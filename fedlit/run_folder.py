"""The folder of a run: its own for every run, held by one process at a time."""

from __future__ import annotations

import itertools
from pathlib import Path

from filelock import FileLock, Timeout

from fedlit.errors import InputError

LOCK = ".lock"
_TRACES = ("checkpoints", "metrics.jsonl", "summary.json", ".hydra", "run.log", "multirun.yaml")


def claim(wanted: Path) -> Path:
    """Make a new folder: `wanted`, or `wanted-2`, `wanted-3`, ... where it is taken.

    Two runs started in the same second get two folders, for only one of them can have made each.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(2):
        try:
            wanted.mkdir()
            return wanted
        except FileExistsError:
            base = wanted.name if number == 2 else wanted.name.rpartition("-")[0]
            wanted = wanted.with_name(f"{base}-{number}")
    raise AssertionError("counting does not end")


def holds_run(folder: Path) -> bool:
    """Whether a run, or a sweep, has left something in the folder."""
    return any((folder / name).exists() for name in _TRACES)


def hold(folder: Path) -> FileLock:
    """Lock a run folder (made where it is not there) for this process until `release`; a kill releases it as well.

    InputError where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder} is in use by another process; wait for its end, or stop it.") from None
    return lock
