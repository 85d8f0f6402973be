"""The cores that a run may use."""

from __future__ import annotations

import os

_sharing = 1  # processes that have the cores together


def cores() -> int:
    """The number of cores that this process may use; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // _sharing)


def share_cores(processes: int) -> None:
    """Share the cores with other runs of a sweep that run beside this one.

    Args:
        processes: the number of runs, with this one.
    """
    global _sharing
    _sharing = processes
