"""A job of a sweep in a process of its own, which another process has started.

Signals are the command's to handle: it asks its jobs to stop by SIGTERM. A job that was asked saves its run and
returns; jobs that the process gets after that return at once. A process whose command is gone stops its run likewise.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fedlit import interrupts
from fedlit.errors import TERMINATED
from fedlit.lasting_streams import lasting_streams
from fedlit.run_folder import clear_start, has_rounds, write_format
from fedlit.settings.hydra_compat import Ended
from fedlit.terminal_encoding import escape_on_output
from fedlit.this_machine import share_cores

_SECONDS = 0.5  # between two looks at the command's process
_asked: list[int] = []  # signals that asked this process to stop
_parents: list[int] = []  # the process whose end is the end of this one, if there is such a process


@dataclass(frozen=True)
class JobProcess:
    """The task that a launcher hands to other processes: the job, once the process is set up.

    Attributes:
        job: the task of this process; picklable by cloudpickle.
        sharing: the number of jobs that run beside each other on this machine.
        parent: the process that has started the job's; None if a job outlives its command.
        marks: a folder in which jobs mark their begin and their end, for a parent that loses their results.
        requeues: whether a signal of submitit announces the end of the job's time: the run saves itself, and submitit
            starts the job once more, if it may.
    """

    job: Callable[[DictConfig], Ended]
    sharing: int
    parent: int | None
    marks: Path | None = None
    requeues: bool = False

    def __call__(self, config: DictConfig) -> Ended:
        _set_up(self.sharing, self.parent)
        record = HydraConfig.get()
        folder, number = Path(record.runtime.output_dir), int(record.job.num)
        if _asked:
            if not has_rounds(folder):  # remove what Hydra has written of a job that does not start
                write_format(folder)
                clear_start(folder)
                with suppress(OSError):
                    folder.rmdir()
            return Ended(TERMINATED)
        if self.marks is not None:
            begun(self.marks, number).write_text(str(folder), encoding="utf-8")
        with _announced_end() if self.requeues else nullcontext():
            end = self._run(config)
        if self.marks is not None:
            ended(self.marks, number).write_text(json.dumps(astuple(end)))
        _exit_without_parent()
        return end

    def _run(self, config: DictConfig) -> Ended:
        with lasting_streams(), interrupts.at_once():
            try:
                return self.job(config)
            except interrupts.Stopped as stopped:  # a launcher would make an error of it, and kill the other jobs
                _asked.append(stopped.number)
                return Ended(stopped.exit_code)


@contextmanager
def _announced_end() -> Iterator[None]:
    """In the block, the signal of submitit asks the run to stop. After the block, submitit's own handler starts the job
    once more, and ends this process; or it raises, and the run stays as it is saved."""
    number = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")
    came: list[Any] = []
    submitits = signal.getsignal(number)

    def stop(number: int, frame: Any) -> None:
        came.append(frame)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, submitits)
    if came and callable(submitits):
        try:
            submitits(number, came[0])
        except Exception as error:  # its time is over, and it may not start once more
            print(error, flush=True)


def begun(marks: Path, number: int) -> Path:
    """The mark of a job that has begun: its folder."""
    return marks / f"{number}.begun"


def ended(marks: Path, number: int) -> Path:
    """The mark of a job that has ended: the values of its `Ended`."""
    return marks / f"{number}.ended"


def _set_up(sharing: int, parent: int | None) -> None:
    """Once a process."""
    if signal.getsignal(signal.SIGTERM) is _note:
        return
    share_cores(sharing)
    escape_on_output()
    signal.signal(signal.SIGTERM, _note)
    if hasattr(signal, "pthread_sigmask"):  # blocked since the start of the process; one may be waiting
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if parent is not None:
        _parents.append(parent)
        threading.Thread(target=_stop_with, args=(parent,), daemon=True).start()


def _note(number: int, frame: Any) -> None:
    """The handler while no job runs."""
    _asked.append(number)
    _exit_without_parent()


def _stop_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_without_parent() -> None:
    """Nobody takes results any more, or gives further jobs."""
    if _parents and os.getppid() != _parents[0]:
        os._exit(TERMINATED)
