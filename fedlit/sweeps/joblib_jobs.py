"""hydra/launcher=joblib: the runs of a sweep beside each other, in processes of their own."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from fedlit import interrupts
from fedlit.errors import BUG
from fedlit.failure_file import write_failure
from fedlit.settings.hydra_compat import Ended
from fedlit.sweeps.job_process import JobProcess, begun, ended
from fedlit.sweeps.job_returns import in_sequence, job_return

log = logging.getLogger(__name__)
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def launch(launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Run jobs by Hydra's launcher for joblib; what each returned.

    A signal stops the runs, which save themselves, and then the command. A process that is killed, by a system without
    memory for example, takes the others with it, and joblib gives up. So the runs that were cut go on one at a time;
    one whose process is killed then as well has failed. The others go on beside each other.

    Args:
        launcher: Hydra's JoblibLauncher.
        jobs: the words of each job.
        first: the number of the first job.
    """
    from joblib import effective_n_jobs

    beside = min(effective_n_jobs(launcher.joblib["n_jobs"]), len(jobs))
    if effective_n_jobs(launcher.joblib["n_jobs"]) == 1:  # joblib runs them in this process
        return list(launcher.launch(jobs, initial_job_idx=first))
    task = launcher.task_function
    with tempfile.TemporaryDirectory(prefix="fedlit-") as marks, _signals_passed_on():
        launcher.task_function = JobProcess(task, beside, os.getpid(), Path(marks))
        try:
            returned = _Jobs(launcher, dict(enumerate(jobs, first)), Path(marks)).run()
        finally:
            launcher.task_function = task
        interrupts.check()
    return returned


class _Jobs:
    """Jobs by number, and what those returned that have ended."""

    def __init__(self, launcher: Any, words: dict[int, Sequence[str]], marks: Path):
        self.launcher, self.words, self.marks = launcher, words, marks
        self.returned: dict[int, JobReturn] = {}

    def run(self) -> list[JobReturn]:
        self._run_beside(list(self.words))
        return [self.returned[number] for number in sorted(self.returned)]

    def _run_beside(self, numbers: Sequence[int]) -> None:
        for group in in_sequence(numbers):
            cut = self._launch(group)
            if cut is None:
                continue
            log.warning("a process was killed; %d runs that it has cut go on one at a time", len(cut))
            for number in cut:
                if self._launch([number]) is not None:
                    self._fail(number)
            self._run_beside([number for number in group if number not in self.returned])

    def _launch(self, numbers: Sequence[int]) -> list[int] | None:
        """Run jobs whose numbers follow each other; None, or the numbers of those that a killed process has cut."""
        interrupts.check()
        for number in numbers:
            begun(self.marks, number).unlink(missing_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")  # a new one is started
                jobs = [self.words[number] for number in numbers]
                returned = self.launcher.launch(jobs, initial_job_idx=numbers[0])
        except BrokenProcessPool:
            for number in numbers:
                with suppress(OSError, ValueError):
                    self.returned[number] = job_return(Ended(*json.loads(ended(self.marks, number).read_text())))
            cut = [n for n in numbers if n not in self.returned and begun(self.marks, n).exists()]
            if not cut:
                raise  # nothing has run: the task cannot be sent
            return cut
        self.returned.update(zip(numbers, returned, strict=True))
        return None

    def _fail(self, number: int) -> None:
        folder = Path(begun(self.marks, number).read_text())
        sentence = "its process was killed; if the memory is short, write hydra.launcher.n_jobs=<fewer>."
        log.error("%s: %s", folder, sentence)
        write_failure(folder, sentence)
        self.returned[number] = job_return(Ended(BUG))


@contextmanager
def _signals_passed_on() -> Iterator[None]:
    """In the block, a signal asks the processes of the jobs to stop, and the command waits for them.

    Processes that are started in the block have the signals blocked, so that Ctrl-C in a terminal, which goes to them
    as well, does not end one that is still importing: joblib would kill the others. A thread that has the signals not
    blocked receives those of this process.
    """

    def ask() -> None:
        print("stopping: the runs save themselves; Ctrl-C once more ends them at once", flush=True)
        for process in multiprocessing.active_children():
            with suppress(OSError):
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        with interrupts.handled(ask):
            yield
        return
    over = threading.Event()
    receiver = threading.Thread(target=over.wait, daemon=True)
    receiver.start()
    with interrupts.handled(ask):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            over.set()
