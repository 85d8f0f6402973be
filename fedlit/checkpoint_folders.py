"""The folders of checkpoints: written as a whole, when they are due, the newest kept, a damaged one skipped.

`checkpoints/round_0012/` has the files of a state, the configuration as plain files, and the SHA-256 of each file
(`digests.py`). It is written under another name, flushed to the disk and renamed.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from fedlit.atomic_files import replacing_folder
from fedlit.digests import STATE, check_digests, write_digests
from fedlit.errors import InputError
from fedlit.run_folder import FORMAT, checkpoint_folders

log = logging.getLogger(__name__)
Fill = Callable[[Path], None]
"""Writes the files of a state into a folder."""
Saved = TypeVar("Saved")


class CheckpointFolders:
    """
    Args:
        run_folder: the checkpoints lie in its folder `checkpoints`.
        files: name -> text, written beside every state (the configuration).
        interval: least time between two checkpoints, seconds.
        keep: number of newest checkpoints that are kept.
    """

    def __init__(self, run_folder: Path, files: Mapping[str, str], interval: float, keep: int):
        self.folder, self.files, self.interval, self.keep = run_folder / "checkpoints", files, interval, keep
        self._saved_at = time.monotonic()
        self._newest: tuple[int, str | None] | None = None  # of the newest that is intact: round, why it was the last

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is at least `interval` old."""
        return time.monotonic() - self._saved_at >= self.interval

    def write(self, name: str, fill: Fill) -> None:
        """Write a folder, or replace it."""
        with replacing_folder(self.folder / name) as draft:
            fill(draft)
            for file, text in self.files.items():
                (draft / file).write_text(text, encoding="utf-8")
            write_digests(draft)

    def save(self, number: int, stopped: str | None, fill: Fill) -> list[int]:
        """Write the checkpoint of a round, then remove all but the newest `keep`, and the first one.

        Args:
            stopped: why this round was the last.

        Returns:
            The rounds whose checkpoints are kept, the newest first.
        """
        if (number, stopped) != self._newest:  # a checkpoint that was skipped as damaged is written again
            self.write(f"round_{number:04d}", fill)
        self._saved_at = time.monotonic()
        self.note_newest(number, stopped)
        checkpoints = checkpoint_folders(self.folder)
        kept = [saved for saved, _ in checkpoints if saved <= number][: self.keep]
        for saved, path in checkpoints:
            if saved not in kept:  # too old, or of a later round and damaged
                shutil.rmtree(path, ignore_errors=True)
        return kept

    def note_newest(self, number: int, stopped: str | None) -> None:
        """This round is saved already."""
        self._newest = number, stopped

    def newest(self, read: Callable[[Path], Saved]) -> tuple[Path, Saved] | None:
        """The newest checkpoint that is intact, as `read` gives it; None if there is no checkpoint.

        Raises:
            InputError: there are checkpoints, but none is usable.
        """
        problems: list[str] = []
        for _, path in checkpoint_folders(self.folder):
            try:
                saved = read(path)
            except InputError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                log.warning("%s; %s is used instead", problem, path.name)
            return path, saved
        if problems:
            raise InputError(
                f"none of the checkpoints in {self.folder} can be used ({problems[0]}); start again in another folder."
            )
        return None

    def has(self, file: Any) -> bool:
        """Whether a file lies among the checkpoints."""
        return isinstance(file, Path) and file.is_relative_to(self.folder)


def save_values(contents: Any, file: Path) -> None:
    """torch.save, with the OSError of a disk that is full: torch raises a RuntimeError in its place."""
    try:
        with file.open("wb") as opened:
            torch.save(contents, opened)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_values(path: Path, kind: str, place: Callable[[Any, str], Any] | None = None) -> dict[str, Any]:
    """The contents of a checkpoint's `state.pt`, whose files are all intact.

    Args:
        kind: its "format".
        place: gives a storage its device, as `map_location` of torch.load.

    Raises:
        InputError: it cannot be used.
    """
    check_digests(path)
    try:
        saved = torch.load(path / STATE, map_location=place or "cpu", weights_only=True)
    except Exception:
        raise InputError(f"{path / STATE} cannot be read as tensors and plain values") from None
    if not isinstance(saved, dict) or saved.get("format") != kind:
        raise InputError(f"{path} is no checkpoint of fedlit")
    if saved.get("version") != FORMAT:
        raise InputError(f"{path} has format {saved.get('version')}, and this fedlit reads format {FORMAT}")
    return saved
