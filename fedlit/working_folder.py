"""The folder in which the command was started, from which relative paths are meant and shown.

`hydra.job.chdir=true` makes the run folder the current one, and a resumed run may be started from anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def command_folder() -> Path:
    """The folder in which the command was started."""
    from hydra.core.hydra_config import HydraConfig  # `import fedlit` needs no Hydra

    return Path(HydraConfig.get().runtime.cwd) if HydraConfig.initialized() else Path.cwd()


def from_command(folder: Path) -> str:
    """A path as it is written after the command: relative to the folder in which that was started."""
    return os.path.relpath(folder, command_folder())


@contextmanager
def in_folder(folder: Path | str) -> Iterator[None]:
    """Work in a folder for a while, if it exists on this machine: relative paths are meant from it."""
    before = os.getcwd()
    if str(folder) == before or not os.path.isdir(folder):
        yield
        return
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
