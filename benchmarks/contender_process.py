"""The pipe between the benchmark and a contender: one round at a time, so that rounds of all contenders interleave.

Only the standard library is used, for contenders live in environments of their own. A message is a line of JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE_DESCRIPTOR = "FEDLIT_BENCH_FD"
CHECKOUT = Path(__file__).parents[1]
START_LIMIT, ROUND_LIMIT = 300.0, 600.0  # seconds


class Gone(RuntimeError):
    """The other end has ended, or does not answer."""


class OrderedQueue:
    """One end: sends and receives dicts."""

    def __init__(self, end: socket.socket):
        self.socket, self.file = end, end.makefile("r", encoding="utf-8")

    def send(self, message: dict[str, Any]) -> None:
        try:
            self.socket.sendall((json.dumps(message) + "\n").encode())
        except OSError as error:
            raise Gone(str(error)) from None

    def receive(self) -> dict[str, Any]:
        try:
            text = self.file.readline()
        except (OSError, TimeoutError) as error:
            raise Gone(str(error)) from None
        if not text:
            raise Gone("it has ended")
        return json.loads(text)


class Gate:
    """A contender's end: it says that it is ready, and waits at the gate before each round."""

    def __init__(self) -> None:
        self.line = OrderedQueue(socket.socket(fileno=int(os.environ[FILE_DESCRIPTOR])))

    def wait(self, message: dict[str, Any]) -> bool:
        """Say something; True: another round is wanted, False: the end."""
        try:
            self.line.send(message)
            return bool(self.line.receive()["go"])
        except Gone:  # the benchmark was stopped
            return False


def serve(play: Callable[[int], dict[str, Any]]) -> None:
    """Let a contender that is a function of the round's number play its rounds; what it returns is told."""
    gate, number, told = Gate(), 0, {"ready": True}
    while gate.wait(told):
        number += 1
        told = play(number)


class Contender:
    """The benchmark's end: a process of its own, ready and waiting for its rounds."""

    def __init__(self, name: str, command: Sequence[str], log: Path, folder: Path | None = None):
        """
        Args:
            name: as it stands in the table.
            command: what is run, in the checkout or in `folder`.
            log: the file that gets what it prints.
        """
        self.name, self.log = name, log
        ours, theirs = socket.socketpair()
        self.line = OrderedQueue(ours)
        path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, FILE_DESCRIPTOR: str(theirs.fileno()), "PYTHONPATH": path}
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                list(command),
                cwd=folder or CHECKOUT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        theirs.close()

    def ready(self) -> dict[str, Any]:
        """Wait until it stands before its first round."""
        return self._answer(START_LIMIT)

    def round(self) -> dict[str, Any]:
        """Play one round; what the contender tells of it, its seconds among them."""
        self.line.send({"go": True})
        return self._answer(ROUND_LIMIT)

    def _answer(self, limit: float) -> dict[str, Any]:
        self.line.socket.settimeout(limit)
        try:
            return self.line.receive()
        except Gone as error:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Gone(f"{self.name}: {error}: {lines[-1] if lines else 'it printed nothing'}") from None

    def stop(self) -> None:
        """Ask it to end; it is stopped where it does not."""
        with suppress(Gone):
            self.line.send({"go": False})
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.line.file.close()
        self.line.socket.close()


def python(*words: str) -> list[str]:
    """A command of this environment's Python."""
    return [sys.executable, *words]
