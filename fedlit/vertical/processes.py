"""engine=processes: each party in a process of its own. The main process passes messages on and keeps the ledger."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from typing import Any

from fedlit import interrupts
from fedlit.quick_imports import brief_spinning
from fedlit.run_log import note
from fedlit.user_imports import imported_user_modules
from fedlit.vertical.contract_errors import PartyLost, place
from fedlit.vertical.engine import ALIGN, Engine, PhaseEnd, Plan
from fedlit.vertical.ledger import Ledger
from fedlit.vertical.mail import Letter, Mail, deadlock
from fedlit.vertical.party import Recv
from fedlit.vertical.party_data import PartyData
from fedlit.vertical.party_process import Ended, Logged, Raised, serve

_WAIT = 0.2  # seconds between two looks at signals


@dataclass
class Processes(Engine):
    """The processes are spawned, never forked: a forked one would have the columns of all parties in its memory.

    Attributes:
        processes: party -> its process.
    """

    processes: dict[str, Any] = field(default_factory=dict, init=False)
    _ends: dict[str, connection.Connection] = field(default_factory=dict, init=False, repr=False)

    def start(self, plan: Plan, data: Mapping[str, PartyData], ledger: Ledger) -> None:
        super().start(plan, data, ledger)
        context = multiprocessing.get_context("spawn")
        level = logging.getLogger().getEffectiveLevel()
        with brief_spinning(), _sigint_blocked():
            for name in plan.parties:
                self._ends[name], end = context.Pipe()
                arguments = (end, list(sys.path), os.getcwd(), imported_user_modules(), level)
                self.processes[name] = context.Process(target=serve, args=arguments, name=f"fedlit {name}")
                self.processes[name].start()
                end.close()
        for name in self._ends:
            self._send(name, (plan, name, data.get(name)), ALIGN, 0)

    def run_phase(self, phase: str, number: int, states: Mapping[str, bytes], mail: Mail) -> PhaseEnd:
        for name in self.processes:
            self._send(name, (phase, number, states[name]), phase, number)
        waiting: dict[str, Recv] = {}
        ended: dict[str, Ended] = {}
        while len(ended) < len(self.processes):
            if len(ended) + len(waiting) == len(self.processes):
                raise deadlock({name: waiting[name] for name in self.processes if name in waiting})
            for name, item in self._arrived(phase, number):
                if isinstance(item, Letter):
                    mail.post(item)
                elif isinstance(item, Recv):
                    waiting[name] = item
                elif isinstance(item, Ended):
                    ended[name] = item
                elif isinstance(item, Raised):
                    interrupts.check()
                    raise item.as_error()
            for name, wanted in list(waiting.items()):
                content = mail.take(name, wanted)
                if content is not None:
                    del waiting[name]
                    self._send(name, content, phase, number)
        return PhaseEnd({name: ended[name].state for name in states}, {name: ended[name].facts for name in states})

    def stop(self) -> None:
        for process in self.processes.values():
            if process.pid is not None and process.is_alive():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has forked
                process.kill()  # also before it has a session of its own
        for process in self.processes.values():
            process.join()
        for end in self._ends.values():
            end.close()
        self.processes, self._ends = {}, {}

    def _arrived(self, phase: str, number: int) -> list[tuple[str, Any]]:
        """What parties have sent by now; waits until one has."""
        by_end = {end: name for name, end in self._ends.items()}
        while True:
            interrupts.check()
            if ready := connection.wait(list(by_end), _WAIT):
                break
            for name, process in self.processes.items():
                if process.exitcode is not None:  # a process that it had forked may still hold its end
                    raise self._lost(name, phase, number)
        arrived: list[tuple[str, Any]] = []
        for end in ready:
            name = by_end[end]  # type: ignore[index]
            try:
                item = self._ends[name].recv()
            except (EOFError, OSError):
                raise self._lost(name, phase, number) from None
            if isinstance(item, Logged):
                _log(item)
            else:
                arrived.append((name, item))
        return arrived

    def _send(self, name: str, value: Any, phase: str, number: int) -> None:
        try:
            self._ends[name].send(value)
        except OSError:
            raise self._lost(name, phase, number) from None

    def _lost(self, name: str, phase: str, number: int) -> Exception:
        interrupts.check()
        process = self.processes[name]
        process.join(5)
        code = process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"has ended with exit code {code}"
        return PartyLost(f"{place(name, phase, number)}: the process of this party {how}.")


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes that start inherit the signal mask: Ctrl-C waits until they ignore it."""
    resource_tracker.ensure_running()  # else a process start would start it, and that unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log(item: Logged) -> None:
    if item.name:
        logging.getLogger(item.name).log(item.level, "%s", item.text)
    else:
        note(item.text)
