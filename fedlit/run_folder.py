"""The folder of a run: a new one for each run, locked by one process at a time, with the format it is written in."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fedlit.errors import InputError

FORMAT = 5  # of a run folder and its checkpoints; raised when saved contents or names change
FORMAT_FILE = "format.txt"
LOCK = ".lock"
FIRST = "round_0000"  # the checkpoint with the first weights: for checks by hand, and never resumed from
PARTITION = "partition.npz"
SWEEP_FILE = "sweep.json"
_ROUND = re.compile(r"round_(\d+)")
_START_FILES = (
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "multirun.yaml", "run.log", FORMAT_FILE),
    *("metrics.jsonl", "clients.jsonl", "messages.jsonl", PARTITION, "partition.png", "curves.png", "clients.png"),
    *("failure.txt", SWEEP_FILE, "loggers.json", "metrics.csv"),
)
"""What a run or a sweep writes before its first round has ended."""
_OF_SWEEP = (SWEEP_FILE, "multirun.yaml")
_TRACES = ("checkpoints", "metrics.jsonl", "summary.json", ".hydra", "run.log", "failure.txt", *_OF_SWEEP)


def claim(wanted: Path) -> Path:
    """Make a new folder: `wanted`, or `wanted-2`, `wanted-3`, ... if it exists.

    Two runs started in the same second get two folders, because `mkdir` succeeds in one process only.
    """
    with _refusing(wanted):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(2):
            try:
                wanted.mkdir()
                return wanted
            except FileExistsError:
                base = wanted.name if number == 2 else wanted.name.rpartition("-")[0]
                wanted = wanted.with_name(f"{base}-{number}")
    raise AssertionError("counting does not end")


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """InputError in one sentence if the folder cannot be made or written."""
    try:
        yield
    except Timeout:  # an OSError as well
        raise
    except OSError as error:
        raise InputError(
            f"the run folder {folder} cannot be written ({error.strerror}); give another by hydra.run.dir=<folder>, or "
            "hydra.sweep.dir=<folder> for a sweep."
        ) from None


def holds_run(folder: Path) -> bool:
    """Whether the folder has files of a run or of a sweep."""
    return any((folder / name).exists() for name in _TRACES)


def has_rounds(folder: Path) -> bool:
    """Whether a run in this folder has completed a round, or saved one."""
    metrics = folder / "metrics.jsonl"
    return (
        (metrics.exists() and metrics.stat().st_size > 0)
        or (folder / "summary.json").exists()
        or bool(checkpoint_folders(folder / "checkpoints"))
    )


def is_unmarked(folder: Path) -> bool:
    """Whether no run in this folder has completed a round, or was marked as one: a kill came while Hydra wrote its
    record."""
    return not (folder / FORMAT_FILE).exists() and not has_rounds(folder)


def blocks(folder: Path) -> bool:
    """Whether a new run, or a sweep, may not begin in this folder, because it would overwrite one.

    Not so if a run, or each run of a sweep, was refused, failed or was stopped before it had completed a round.
    """
    return any(not _has_start_only(started) for started in _started(folder))


def clear_start(folder: Path) -> None:
    """Remove the files of runs that had completed no round, and of their sweep; no other file.

    The folder is locked, and does not block.
    """
    for started in _started(folder):
        if started != folder:
            hold(started).release()  # not while it is resumed
        began = max((path.stat().st_mtime for path in started.glob(".hydra/*.yaml")), default=0.0)
        events = [path for path in started.glob("events.out.tfevents.*") if path.stat().st_mtime >= began]
        for path in [*(started / name for name in _START_FILES), *started.glob("checkpoints/clients.sqlite*"), *events]:
            path.unlink(missing_ok=True)
        for name in (FIRST, f".writing_{FIRST}"):
            shutil.rmtree(started / "checkpoints" / name, ignore_errors=True)
        emptied = [started / "checkpoints", started / ".hydra"]
        if started != folder:
            (started / LOCK).unlink(missing_ok=True)
            emptied.append(started)
        for path in emptied:
            with suppress(OSError):  # it does not exist, or holds a file of the user's
                path.rmdir()


def _started(folder: Path) -> list[Path]:
    """The folder, if a run or a sweep was started in it, and the folders of the sweep's runs."""
    if not holds_run(folder):
        return []
    inner = folder.rglob(".hydra") if is_sweep(folder) else ()
    return [folder, *(path.parent for path in inner if path.parent != folder)]


def _has_start_only(folder: Path) -> bool:
    is_known = format_of(folder) == FORMAT if _is_marked(folder) else is_sweep(folder)
    return is_known and not has_rounds(folder)


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep."""
    return any((folder / name).exists() for name in _OF_SWEEP)


def _is_marked(folder: Path) -> bool:
    return (folder / FORMAT_FILE).exists() or (folder / ".hydra").exists()


def hold(folder: Path) -> FileLock:
    """Lock a run folder, which is made if needed, for this process until `release`; a kill releases it as well.

    InputError if another process holds it, or if it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a run needs a folder: write hydra.run.dir=<another>.")
    lock = FileLock(folder / LOCK)
    try:
        with _refusing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder} is in use by another process; wait for its end, or stop it.") from None
    return lock


def write_format(folder: Path) -> None:
    """Mark a new run folder with the format that this fedlit writes."""
    (folder / FORMAT_FILE).write_text(f"{FORMAT}\n", encoding="utf-8")


def format_of(folder: Path) -> int:
    """The format of a run folder; folders of format 1 have no such file."""
    try:
        return int((folder / FORMAT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1


def checkpoint_folders(checkpoints: Path) -> list[tuple[int, Path]]:
    """(round, folder) of each checkpoint in `<run folder>/checkpoints`, the newest first; neither `best` nor `FIRST`,
    from which no run goes on."""
    folders = checkpoints.glob("round_*")
    numbered = ((int(name[1]), path) for path in folders if (name := _ROUND.fullmatch(path.name)))
    return sorted(((number, path) for number, path in numbered if number > 0), reverse=True)


def is_checkpoint_name(name: str) -> bool:
    """Whether a folder of that name is a checkpoint, such as `round_0012`."""
    return _ROUND.fullmatch(name) is not None
