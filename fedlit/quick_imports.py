"""Imports of torch and Lightning without the time that garbage collection takes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
