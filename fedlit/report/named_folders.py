"""The folders of runs and sweeps that a report is made of: those that are named, or those below a named one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedlit.run_folder import FORMAT_FILE, is_sweep


def named_folders(folders: Sequence[Path]) -> list[Path]:
    """Each folder of a run or sweep as it is, and in place of another one, such as `outputs`, those below it by name.

    Nothing within a run or sweep is listed. A folder with nothing below it stays, and is refused where it is read.
    """
    return list(dict.fromkeys(place for folder in folders for place in _below(folder) or [folder]))


def _below(folder: Path) -> list[Path]:
    places = []
    for path, inner, _ in os.walk(folder):
        if _is_run_or_sweep(Path(path)):
            places.append(Path(path))
            inner.clear()
        else:
            inner[:] = sorted(name for name in inner if not name.startswith("."))
    return places


def _is_run_or_sweep(folder: Path) -> bool:
    return is_sweep(folder) or (folder / ".hydra").exists() or (folder / FORMAT_FILE).exists()
