"""failure.txt: why a run ended with an error, in one sentence. It lies in the run folder until the run goes on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fedlit.atomic_files import write_text
from fedlit.errors import NotWritten

NAME = "failure.txt"


def write_failure(folder: Path, sentence: str) -> None:
    """Write the sentence; nothing where the disk takes no file."""
    with suppress(NotWritten):
        write_text(folder / NAME, f"{' '.join(sentence.split())}\n")


def remove_failure(folder: Path) -> None:
    """A run goes on: what ended it before is no longer so."""
    with suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)
