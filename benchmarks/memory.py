"""Memory of a contender's processes, from /proc; empty on systems without it.

`python -m benchmarks.memory` reads names of modules from stdin, imports them and prints its resident memory in MB.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any


def footprint(number: int) -> dict[str, Any]:
    """Peak memory of this process and of its children (MB each); after the first round also the imported modules."""
    own_peak = peak("self")
    if own_peak is None:
        return {}
    children = [p for p in map(peak, _children(os.getpid())) if p is not None]
    return {"peak_mb": own_peak, "children_mb": children} | ({"imported": _imported()} if number == 1 else {})


def _imported() -> list[str]:
    """The modules that this process imported from files, without the main module."""
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
    return direct + [grandchild for child in direct for grandchild in _children(child)]


def _import_all() -> None:
    for name in sys.stdin.read().split():
        try:
            importlib.import_module(name)
        except Exception:  # some modules can be imported by their package only
            continue
    print(resident("self"))


if __name__ == "__main__":
    _import_all()
