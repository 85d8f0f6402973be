"""Memory of a contender's processes, as Linux counts it; nothing elsewhere.

`python -m benchmarks.memory` imports the modules it is given and tells what it then takes; it imports nothing else.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any


def footprint(number: int) -> dict[str, Any]:
    """After a round: the peak of this process and of its children (MB each); after the first, what was imported too."""
    own = peak("self")
    if own is None:
        return {}
    children = [p for p in map(peak, _children(os.getpid())) if p is not None]
    return {"peak_mb": own, "children_mb": children} | ({"imported": _imported()} if number == 1 else {})


def _imported() -> list[str]:
    """The modules that this process has from files, without the one that is run."""
    return sorted(n for n, m in list(sys.modules.items()) if getattr(m, "__file__", None) and not n.startswith("__"))


def peak(process: int | str) -> float | None:
    return _field(process, "VmHWM")


def resident(process: int | str) -> float | None:
    return _field(process, "VmRSS")


def _field(process: int | str, name: str) -> float | None:
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def _children(process: int) -> list[int]:
    try:
        text = " ".join(p.read_text() for p in Path(f"/proc/{process}/task").glob("*/children"))
    except OSError:
        return []
    direct = [int(word) for word in text.split()]
    return direct + [inner for one in direct for inner in _children(one)]


def _import_all() -> None:
    for name in sys.stdin.read().split():
        try:
            importlib.import_module(name)
        except Exception:  # one that only its package can import
            continue
    print(resident("self"))


if __name__ == "__main__":
    _import_all()
