"""The cores of this machine, and its name in tables of measurements."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fedlit.plurals import counted

_sharing = 1  # runs that have the cores together


def machine_name(packages: Iterable[str] = ("torch", "lightning", "numpy")) -> str:
    """Processor, cores, system and versions."""
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    python = f"Python {platform.python_version()}"
    return f"{_processor()}, {counted(cores(), 'core')}, {platform.system()}, {python}, {versions}"


def cores() -> int:
    """The number of cores that this process may use; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // _sharing)


def share_cores(processes: int) -> None:
    """Share the cores with the runs of a sweep that run beside that of this process.

    Args:
        processes: the number of runs, with that of this process.
    """
    global _sharing
    _sharing = processes


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
