"""What makes the host wait for the pretended device, with the line that did it, and where that is an error.

A wait is a synchronisation as torch.cuda.set_sync_debug_mode knows it: a number that is read (`item`: also `bool`,
`tolist`, `torch.equal`), a copy to the CPU (`download`), a blocking copy to the device (`upload`), a shape that depends
on values (`shape`: `nonzero`, `unique`, an index of bools).
"""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

from torch import Tensor

ROOT = Path(__file__).parents[2]
_PYTHON, _LIBRARIES = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))


@dataclass(frozen=True)
class Wait:
    kind: str
    what: str
    line: str  # of the code that waits, outside of torch
    caller: str  # the innermost line of this repository
    loop: str  # the loop in which the wait is an error; empty outside of all

    def __str__(self) -> str:
        place = self.line if self.line == self.caller else f"{self.line}, called at {self.caller}"
        return f"{self.kind} ({self.what}) at {place}" + (f", inside {self.loop}" if self.loop else "")


class WaitInLoop(BaseException):
    """The host waits inside a loop. No Exception, because fedlit trains clients one by one after an Exception."""


@dataclass
class Watch:
    """
    Attributes:
        loops: code that may not wait -> its name.
        step_loops: names of those that run a step of a fit.
        pauses: code that may wait, also inside a loop -> why.
        seen: the waits so far.
        mixed: operations over tensors of two devices, so far.
    """

    loops: dict[CodeType, str] = field(default_factory=dict)
    step_loops: set[str] = field(default_factory=set)
    pauses: dict[CodeType, str] = field(default_factory=dict)
    seen: list[Wait] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        """Note that the host waits.

        Raises:
            WaitInLoop: inside a loop.
        """
        frames = list(_frames())
        loop = self._loop(frames)
        if kind == "shape" and loop not in self.step_loops:  # rows of unequal lengths have shapes that depend on values
            loop = ""
        wait = Wait(kind, what, _line(frames, False), _line(frames, True), loop)
        self.seen.append(wait)
        if wait.loop:
            raise WaitInLoop(str(wait))

    def note_move(self, kind: str, tensor: Tensor) -> None:
        """Note a copy between the devices that the host waits for."""
        self.note(kind, f"{tensor.dtype} {tuple(tensor.shape)}")

    def note_mixed(self, op: str) -> None:
        """Note an operation over tensors of two devices."""
        self.mixed.append(f"{op} at {_line(list(_frames()), True)}")

    def _loop(self, frames: list[FrameType]) -> str:
        for frame in frames:
            if frame.f_code in self.pauses:
                return ""
            if frame.f_code in self.loops:
                return self.loops[frame.f_code]
        return ""


watch = Watch()


def _frames() -> Iterator[FrameType]:
    """The frames of this thread, then those of the main thread if autograd runs in a thread of its own."""
    threads = [sys._getframe(2)]
    if threading.current_thread() is not threading.main_thread():
        threads.append(sys._current_frames()[threading.main_thread().ident or 0])
    for innermost in threads:
        frame: FrameType | None = innermost
        while frame is not None:
            yield frame
            frame = frame.f_back


def _line(frames: list[FrameType], in_repository: bool) -> str:
    """The innermost line in this repository, or else outside of torch; the harness itself has none."""
    for frame in frames:
        name, is_ours, is_named = _file(frame.f_code.co_filename)
        if is_ours if in_repository else is_named:
            return f"{name}:{frame.f_lineno}"
    return ""


@cache
def _file(filename: str) -> tuple[str, bool, bool]:
    """(its short name, whether it is of this repository, whether it is of neither torch nor Python)."""
    path = Path(filename)
    if filename.startswith("<") or (path.parent == Path(__file__).parent and path.name in ("device.py", "waits.py")):
        return filename, False, False
    if path.is_relative_to(_LIBRARIES):  # looked at first: `make` puts the environment into the repository's folder
        return str(path.relative_to(_LIBRARIES)), False, path.relative_to(_LIBRARIES).parts[0] != "torch"
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT)), True, True
    return filename, False, not path.is_relative_to(_PYTHON)
