"""Imports of torch and Lightning without the time that garbage collection takes, and threads that spin briefly."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SPIN_COUNT = "GOMP_SPINCOUNT"
LOADING = "fedlit: loading torch and Lightning"


@contextmanager
def no_collection() -> Iterator[None]:
    """Import without garbage collection, and keep what was imported out of every later collection.

    torch and Lightning leave a million objects, and hardly any is garbage. Searching them takes a sixth of the import,
    and again as long when the process ends.
    """
    was_enabled, is_first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
        if is_first:  # a process that had imported torch before, such as a notebook's, has objects of the user's
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def limit_spinning() -> None:
    """Before torch is imported: its OpenMP threads wait for each other in a busy loop, by default for some
    milliseconds.

    Where another process takes a core, a small operation on two threads then takes up to fifty times as long. Threads
    that spin briefly and then sleep cost nothing measurable on idle cores. The user's own setting is kept.
    """
    if not {_SPIN_COUNT, "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ[_SPIN_COUNT] = "10000"


@contextmanager
def brief_spinning() -> Iterator[None]:
    """In the block, torch may be imported after `limit_spinning`; on exit the environment is as before."""
    before = os.environ.get(_SPIN_COUNT)
    limit_spinning()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_SPIN_COUNT, None)
