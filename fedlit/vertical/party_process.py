"""The process of one party. It gets its own columns alone, makes its party and steps it.

It begins a session of its own: Ctrl-C does not reach it, and what it forks (`cipher.workers`) ends with it.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from fedlit import interrupts
from fedlit.errors import InputError
from fedlit.run_log import CopiedStream, log_warnings
from fedlit.stop import Stop
from fedlit.user_imports import UserModule, import_again
from fedlit.vertical.contract_errors import BrokenProtocol, PartyFailed, PartyLost
from fedlit.vertical.mail import Letter
from fedlit.vertical.numeric_threads import set_threads
from fedlit.vertical.party import Facts, Recv
from fedlit.vertical.party_steps import PartySteps

_KINDS = (BrokenProtocol, PartyLost, InputError, PartyFailed)  # errors that the main process raises as they were


@dataclass(frozen=True)
class Ended:
    """A party has come to the end of a phase."""

    state: bytes
    facts: Facts


@dataclass(frozen=True)
class Raised:
    """A party's exception, in a form that can be pickled."""

    kind: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Call it where the error is handled."""
        if isinstance(error, Stop):
            return cls("Stop", error.reason, "")
        kind = next((known.__name__ for known in _KINDS if isinstance(error, known)), "PartyFailed")
        return cls(kind, str(error), traceback.format_exc())

    def as_error(self) -> Exception:
        """The exception for the main process to raise."""
        if self.kind == "Stop":
            return Stop(self.message)
        error = next(known for known in _KINDS if known.__name__ == self.kind)(self.message)
        if isinstance(error, PartyFailed):
            error.__cause__ = PartyTrace(self.trace)
        return error


class PartyTrace(Exception):
    """The traceback of an exception in the process of a party, as text."""

    def __init__(self, trace: str):
        super().__init__(f"in the process of a party:\n{trace}")


@dataclass(frozen=True)
class Logged:
    """A message for the log of the run; a line that the terminal has already where `name` is empty."""

    name: str
    level: int
    text: str


def serve(
    end: connection.Connection, path: Sequence[str], folder: str, modules: Sequence[UserModule], level: int
) -> None:
    """The main function of the process. It exits once the main process is gone.

    Args:
        path: of imports, in the main process.
        folder: the working folder there.
        modules: of the user, imported there.
        level: of the log.
    """
    os.setsid()
    interrupts.ignore_all()
    faulthandler.enable()
    threading.Thread(target=_end_with_main, daemon=True).start()
    os.chdir(folder)
    sys.path[:] = path
    import_again(modules)
    try:
        _Server(end, level).run()
    except (EOFError, OSError):  # the main process closed its end, or was killed
        os.killpg(0, signal.SIGKILL)


class _Server:
    """Does what the main process asks, one phase after the other."""

    def __init__(self, end: connection.Connection, level: int):
        self.end, self.process, self.lock = end, os.getpid(), threading.Lock()
        log_warnings()
        root = logging.getLogger()
        root.addHandler(_Sender(self))
        root.setLevel(level)
        sys.stdout, sys.stderr = (CopiedStream(stream, self._printed) for stream in (sys.stdout, sys.stderr))

    def run(self) -> None:
        plan, name, data = self.end.recv()
        set_threads(plan.threads)
        steps = PartySteps(plan, name, data)
        while True:
            phase, number, state = self.end.recv()
            try:
                self._step(steps, phase, number, state)
            except (EOFError, OSError):
                raise
            except (Exception, SystemExit) as error:
                self.send(Raised.of(error))

    def _step(self, steps: PartySteps, phase: str, number: int, state: bytes) -> None:
        exchange = steps.phase(phase, number, state)
        content: bytes | None = None
        while True:
            try:
                step = exchange.send(content)
            except StopIteration as end:
                self.send(Ended(*end.value))
                return
            self.send(step)
            content = self.end.recv() if isinstance(step, Recv) else None

    def send(self, item: Letter | Recv | Ended | Raised | Logged) -> None:
        """To the main process; nothing from a process that this one has forked."""
        if os.getpid() == self.process:
            with self.lock:
                self.end.send(item)

    def _printed(self, line: str) -> None:
        self.send(Logged("", logging.INFO, line))


class _Sender(logging.Handler):
    """Sends log records to the main process, which writes the log of the run."""

    def __init__(self, server: _Server):
        super().__init__()
        self.server = server

    def emit(self, record: logging.LogRecord) -> None:
        self.server.send(Logged(record.name, record.levelno, record.getMessage()))


def _end_with_main() -> None:
    """End this process and those that it has forked as soon as the main process is gone, in the middle of a phase
    too."""
    parent: Any = multiprocessing.parent_process()
    connection.wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)
