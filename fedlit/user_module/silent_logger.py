"""`self.logger` of a module: every call works and keeps nothing.

Lightning's own calls of a logger (`experiment`, `save`, `finalize`) are silent; a user's call gets a warning, once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import util
from typing import Any

from lightning.pytorch.loggers import Logger

from fedlit.notices import warn

_WARNING = "self.logger keeps nothing: a value that is given to it is lost; self.log and self.log_dict keep values."
_folders: dict[int, str] = {}  # of this process, by its number: a fork has one of its own


class SilentLogger(Logger):
    """A Lightning logger of any kind, as far as its methods go.

    Args:
        folder: where a module or a callback may write files; None: a temporary folder of this process.

    >>> logger = SilentLogger()
    >>> bool(logger), logger.name, logger.version
    (True, 'fedlit', '0')
    """

    name, version = "fedlit", "0"

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self._given_folder = folder
        self._experiment = _Nothing()

    @property
    def experiment(self) -> Any:
        return self._experiment

    @property
    def save_dir(self) -> str:
        """The folder, which is made where it is missing."""
        if self._given_folder is None:
            return _folder()
        if not os.path.isdir(self._given_folder):
            os.makedirs(self._given_folder)
        return str(self._given_folder)

    log_dir = root_dir = save_dir

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        warn(_WARNING)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Silent, because hyperparameters are no values of the training."""

    def log_graph(self, *args: Any, **kwargs: Any) -> None: ...

    def __getitem__(self, index: int) -> SilentLogger:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python itself looks for optional special methods
            raise AttributeError(name)
        return _Nothing()


class _Nothing(os.PathLike[str]):
    """An object whose attributes, items and results are itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        warn(_WARNING)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        warn(_WARNING)

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def __fspath__(self) -> str:
        return _folder()

    def __str__(self) -> str:
        return _folder()


def _folder() -> str:
    process = os.getpid()
    if process not in _folders:
        _folders[process] = tempfile.mkdtemp(prefix="fedlit-")
        # unlike atexit, it also runs at the end of a worker process
        util.Finalize(None, shutil.rmtree, (_folders[process], True), exitpriority=0)
    return _folders[process]
