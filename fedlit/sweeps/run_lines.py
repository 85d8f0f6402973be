"""A line for each run of a sweep that has ended: which of how many, its result, the time that is left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlit.errors import InputError
from fedlit.run_folder import PARTITION
from fedlit.saved_run import SavedRun, runs_in
from fedlit.sweeps.no_lines import NoLines
from fedlit.sweeps.plan import Plan
from fedlit.tracking.summary import NAME as SUMMARY
from fedlit.tracking.terminal_text import duration, figure

_INTERVAL = 1.0  # seconds between two looks at the folders

_Stamp = tuple[int, int]


class RunLines(NoLines):
    """The lines, in the process that started the sweep.

    On its way to a job in another process it becomes a `NoLines`: there, `look` finds how the job ended.

    Args:
        folder: of the sweep.
        plan: its jobs.
        write: takes a line.
        clock: returns the time, seconds.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._folder, self._write, self._clock = folder, write, clock
        self._started, self._has_begun = clock(), False
        jobs = plan.jobs
        self._waiting = None if jobs is None else [self._folder / job.folder for job in jobs if job.state != "finished"]
        self._total = None if jobs is None else len(jobs)
        begun = [self._folder / job.folder for job in jobs or () if job.state == "begun"]
        self._summaries_before = {run: _summary_stamp(run) for run in begun}  # a run that goes on still has its old one
        self._earlier = 0 if self._waiting is None else len(jobs or ()) - len(self._waiting)
        self._shown_runs: set[Path] = set() if jobs is not None else _ended_runs(folder)
        self._before = len(self._shown_runs)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[NoLines], tuple[()]]:
        return NoLines, ()

    @property
    def shown(self) -> str:
        """How a run of this process shows its rounds, where the user has not said: on a line of its own, or not."""
        return "line" if sys.stdout.isatty() else "none"

    def began(self) -> None:
        """A run begins, and torch is imported: the time that is left is reckoned from the first such moment."""
        if not self._has_begun:
            self._started, self._has_begun = self._clock(), True

    def ended(self, folder: Path, failed: bool) -> None:
        """A run of this process has ended: write its line. The reason of a failure has just been printed."""
        with self._lock:
            if folder not in self._shown_runs:
                self._tell(folder, ["failed"] if failed else _result(folder))

    def look(self) -> None:
        """Write the lines of runs that have ended in other processes since the last look. A run has begun there when it
        has written its partition."""
        with self._lock:
            if any((folder / PARTITION).exists() for folder in self._waiting or ()):
                self.began()
            for folder in sorted(_ended_runs(self._folder) if self._waiting is None else self._waiting):
                if folder not in self._shown_runs and _has_ended(folder, self._summaries_before.get(folder)):
                    self._tell(folder, _result(folder))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """In the block, look again and again."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_INTERVAL):
                self.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()

    def _tell(self, folder: Path, result: list[str]) -> None:
        self._shown_runs.add(folder)
        done = len(self._shown_runs) - self._before
        total = "" if self._total is None else f"/{self._total}"
        number = str(done + self._earlier).rjust(len(total) - 1)
        name = folder.relative_to(self._folder) if folder.is_relative_to(self._folder) else folder
        parts = [f"run {number}{total}", str(name), *result]
        if self._waiting is not None and (left := len(self._waiting) - done) > 0:
            parts.append(f"about {duration((self._clock() - self._started) / done * left)} left")
        self._write("  ".join(parts))


def _result(folder: Path) -> list[str]:
    """The first metric of the report's table and the seconds of a run, or why it has none."""
    try:
        run = SavedRun(folder)
    except InputError as error:
        return [str(error)]
    if run.failure is not None:
        return [f"failed: {run.failure}"]
    if run.summary is None or not run.rows:
        return ["has no result"]
    from fedlit.report.columns import columns

    metric = columns([run])[0].metric
    parts = []
    if (measured := run.measured(metric)) is not None:
        place = "" if measured[0] == run.rows[-1]["round"] else f" in round {measured[0]}"
        parts.append(f"{metric} {figure(measured[1])}{place}")
    if stopped := run.summary.get("stopped"):
        parts.append(f"stopped after round {run.summary['rounds']}: {stopped}")
    seconds = run.summary.get("seconds")
    return parts if seconds is None else [*parts, duration(seconds)]


def _has_ended(folder: Path, summary_before: _Stamp | None = None) -> bool:
    """Whether a run has ended; not by a summary that had been written before."""
    try:
        run = SavedRun(folder)
        is_new = summary_before is None or _summary_stamp(folder) != summary_before
        return run.failure is not None or (run.finished and is_new)
    except InputError:  # it has not begun
        return False


def _summary_stamp(folder: Path) -> _Stamp | None:
    """Another one after the summary was replaced; None where there is none."""
    try:
        status = (folder / SUMMARY).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _ended_runs(folder: Path) -> set[Path]:
    try:
        return {run.folder for run in runs_in(folder) if _has_ended(run.folder)}
    except InputError:
        return set()
