"""Values as they are written on a command line."""

from __future__ import annotations

from typing import Any


def as_written(value: Any) -> str:
    """A plain value as it is written after the `=`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}: {as_written(inner)}" for name, inner in value.items()) + "}"
    return str(value)
