"""The temporary folder into which a Lightning Trainer writes in a fit, such as the files of a ModelCheckpoint."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path


class FitFolder:
    """A folder of its own for each process. A Trainer makes it when it writes.

    The first object removes the folders of all processes when it is deleted or when its process ends. So those of
    workers that were killed are removed, too. An unpickled object (in a worker) removes its own, which may lie on
    another machine.
    """

    def __init__(self) -> None:
        self.base = Path(tempfile.gettempdir()) / f"fedlit-fits-{secrets.token_hex(8)}"
        weakref.finalize(self, _remove, self.base, os.getpid())

    def __getstate__(self) -> Path:
        return self.base

    def __setstate__(self, base: Path) -> None:
        self.base = base
        weakref.finalize(self, _remove, self.path, os.getpid())

    @property
    def path(self) -> Path:
        """Of this process. The same for all its fits, so that what a fit reads of it does not tell clients apart."""
        return self.base / str(os.getpid())

    def empty(self) -> None:
        """Call it before and after each fit: files of one client must not reach the next. The folder itself stays,
        because making one takes as long as a small fit."""
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked process inherits finalizers
        shutil.rmtree(folder, ignore_errors=True)
