"""sweep.json: what a sweep was asked for, and its jobs. Written before the first job starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedlit.atomic_files import write_text
from fedlit.errors import InputError
from fedlit.run_folder import SWEEP_FILE


@dataclass(frozen=True)
class RecordedJob:
    """A job of a sweep."""

    overrides: list[str]  # the words of the task, such as ["seed=1", "clients=10"]
    folder: str  # relative to the sweep's folder


@dataclass(frozen=True)
class SweepRecord:
    """The content of sweep.json.

    Attributes:
        words: overrides of the command line as they were written, those of Hydra too.
        config_name: `--config-name`.
        config_dir: `--config-dir`, absolute.
        began_in: the folder of the command, from which relative paths are meant.
        swept: key -> its values, as written. A key has the sign that it was written with, such as "+a.b".
        jobs: in their order; None if the sweeper chooses them as it goes on.
    """

    words: list[str]
    config_name: str
    config_dir: str | None
    began_in: str
    swept: dict[str, list[str]]
    jobs: list[RecordedJob] | None

    def write(self, folder: Path) -> None:
        """Replace sweep.json in the sweep's folder atomically."""
        write_text(folder / SWEEP_FILE, json.dumps(asdict(self), indent=1) + "\n")

    def after(self, earlier: SweepRecord | None) -> SweepRecord:
        """This record, with the keys, values and jobs of an earlier command in the same folder added.

        A key that the earlier command varied, and this one sets to one value, has this value too.
        """
        if earlier is None:
            return self
        swept = {key: list(values) for key, values in earlier.swept.items()}
        of_jobs = [word.partition("=") for job in self.jobs or () for word in job.overrides]
        for key, values in [*self.swept.items(), *((key, [value]) for key, _, value in of_jobs if key in swept)]:
            swept[key] = list(dict.fromkeys([*swept.get(key, []), *values]))
        jobs = self.jobs
        if jobs is not None and earlier.jobs is not None:
            folders = {job.folder for job in jobs}
            others = [job for job in earlier.jobs if job.folder not in folders]
            words = [job.overrides for job in jobs]  # of runs that were moved within the folder
            jobs = [*jobs, *(job for job in others if job.overrides not in words)]
        return SweepRecord(self.words, self.config_name, self.config_dir, self.began_in, swept, jobs)


def read_record(folder: Path) -> SweepRecord | None:
    """The record of a sweep; None if there is none in this folder.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))
        return _record(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / SWEEP_FILE}: the record of this sweep cannot be read ({type(error).__name__}); resume its runs "
            "one by one, or start the sweep again in a new folder."
        ) from None


def readable_record(folder: Path) -> SweepRecord | None:
    """The record of a sweep; None where there is none, or a damaged one, which ends no run and no report."""
    try:
        return read_record(folder)
    except InputError:
        return None


def jobs_beside(sweep: Path, folders: Sequence[str]) -> list[str]:
    """The folders of the jobs of a sweep's record without these: those of earlier commands in its folder."""
    record = readable_record(sweep)
    jobs = (record and record.jobs) or ()
    return [job.folder for job in jobs if job.folder not in folders]


def sweep_of(folder: Path) -> tuple[Path, SweepRecord] | None:
    """The folder and the record of the sweep that a run belongs to; None for a single run.

    Args:
        folder: of the run, at any depth below that of its sweep (`hydra.sweep.subdir`).
    """
    for above in folder.absolute().parents:
        record = readable_record(above)
        if record is not None and _holds(record, above, folder):
            return above, record
    return None


def _holds(record: SweepRecord, sweep: Path, folder: Path) -> bool:
    """Whether a run is one of a sweep's, and does not only lie below its folder."""
    return record.jobs is None or folder.absolute().relative_to(sweep) in (Path(job.folder) for job in record.jobs)


def _record(content: Mapping[str, Any]) -> SweepRecord:
    jobs = content["jobs"]
    return SweepRecord(
        list(content["words"]),
        str(content["config_name"]),
        content["config_dir"],
        str(content["began_in"]),
        {key: list(values) for key, values in content["swept"].items()},
        None if jobs is None else [RecordedJob(list(job["overrides"]), str(job["folder"])) for job in jobs],
    )
