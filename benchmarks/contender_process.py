"""The socket between the benchmark and a contender: one round at a time, so that the contenders' rounds interleave.

It uses only the standard library, because some contenders have their own environment. A message is a line of JSON.
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


class Disconnected(RuntimeError):
    """The other process has ended or does not answer."""


class JsonSocket:
    """One end: sends and receives dicts."""

    def __init__(self, end: socket.socket):
        self.socket, self.file = end, end.makefile("r", encoding="utf-8")

    def send(self, message: dict[str, Any]) -> None:
        try:
            self.socket.sendall((json.dumps(message) + "\n").encode())
        except OSError as error:
            raise Disconnected(str(error)) from None

    def receive(self) -> dict[str, Any]:
        try:
            line = self.file.readline()
        except (OSError, TimeoutError) as error:
            raise Disconnected(str(error)) from None
        if not line:
            raise Disconnected("it has ended")
        return json.loads(line)


class Gate:
    """A contender's end: it reports, and waits for permission before each round."""

    def __init__(self) -> None:
        self.messages = JsonSocket(socket.socket(fileno=int(os.environ[FILE_DESCRIPTOR])))

    def wait(self, message: dict[str, Any]) -> bool:
        """Send a message; True: play another round, False: end."""
        try:
            self.messages.send(message)
            return bool(self.messages.receive()["go"])
        except Disconnected:  # the benchmark was stopped
            return False


def serve(play: Callable[[int], dict[str, Any]]) -> None:
    """The main loop of a contender: `play(round number)` plays a round and returns its report."""
    gate, number, report = Gate(), 0, {"ready": True}
    while gate.wait(report):
        number += 1
        report = play(number)


class Contender:
    """The benchmark's end: starts a contender's process and asks it for rounds."""

    def __init__(self, name: str, command: Sequence[str], log: Path, folder: Path | None = None):
        """
        Args:
            name: in the table.
            command: of the process.
            log: the file for its output.
            folder: its working directory; None is the checkout.
        """
        self.name, self.log = name, log
        benchmark_end, contender_end = socket.socketpair()
        self.messages = JsonSocket(benchmark_end)
        path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, FILE_DESCRIPTOR: str(contender_end.fileno()), "PYTHONPATH": path}
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                list(command),
                cwd=folder or CHECKOUT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[contender_end.fileno()],
            )
        contender_end.close()

    def ready(self) -> dict[str, Any]:
        """Wait until it is ready for its first round."""
        return self._answer(START_LIMIT)

    def round(self) -> dict[str, Any]:
        """Play one round; the contender's report, with its seconds."""
        self.messages.send({"go": True})
        return self._answer(ROUND_LIMIT)

    def _answer(self, limit: float) -> dict[str, Any]:
        self.messages.socket.settimeout(limit)
        try:
            return self.messages.receive()
        except Disconnected as error:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Disconnected(f"{self.name}: {error}: {lines[-1] if lines else 'it printed nothing'}") from None

    def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        with suppress(Disconnected):
            self.messages.send({"go": False})
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.messages.file.close()
        self.messages.socket.close()


def python(*words: str) -> list[str]:
    """A command of this environment's Python."""
    return [sys.executable, *words]
