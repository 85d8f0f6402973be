"""A terminal that takes no more text ends no run: a closed pipe, a full disk, a closed window."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO
from unittest import mock

import pytest

from fedlit.lasting_streams import LastingStream, lasting_streams, lost_streams
from tests.small_runs import command, rows, saved

WORDS = ["clients=2", "threads=1", "device=cpu", "logger=none", "data=synthetic", "data.size_log_std=0"]


def full() -> TextIO:
    return open("/dev/full", "w")


def without_reader() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


def closed_window() -> TextIO:
    window, stream = pty.openpty()
    os.close(window)
    return open(stream, "w")


STREAMS: dict[str, tuple[Callable[[], TextIO], str]] = {
    "a full disk": (full, "No space left on device"),
    "a pipe without a reader": (without_reader, "Broken pipe"),
    "a closed window": (closed_window, "Input/output error"),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_what_cannot_be_written_is_dropped(kind: str) -> None:
    make, reason = STREAMS[kind]
    with make() as stream, mock.patch.object(sys, "stdout", stream):
        with lasting_streams():
            for _ in range(3):
                print("x" * 10_000, flush=True)
            assert lost_streams() == [("stdout", reason)]
        assert sys.stdout is stream
        stream.flush()  # as Python does at its end


def test_a_closed_stream_takes_text() -> None:
    stream = io.StringIO()
    lasting = LastingStream(stream)
    stream.close()
    assert lasting.write("text") == 4
    lasting.flush()


def test_a_run_goes_on_and_its_log_says_it(in_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with without_reader() as stream, mock.patch.object(sys, "stdout", stream):
        assert command(*WORDS, "rounds=2", "progress=plain", "hydra.run.dir=run") == 0
    assert len(rows(Path("run"))) == 2
    said = "stdout could not be written any more (Broken pipe); run.log has what was printed."
    logged = Path("run/run.log").read_text()
    assert logged.count(said) == 1 and logged.count("2 rounds in ") == 1
    assert capfd.readouterr().err == f"{said}\n"


@pytest.mark.slow
def test_closing_the_window_saves_the_last_round(tmp_path: Path) -> None:
    window, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fedlit.run", *WORDS, "rounds=100000", "progress=rich", "hydra.run.dir=run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(terminal)
    os.set_blocking(window, False)
    deadline = time.monotonic() + 200
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:  # the last line may be half written
        assert process.poll() is None and time.monotonic() < deadline
        try:
            os.read(window, 1 << 16)
        except BlockingIOError:
            time.sleep(0.01)
    os.close(window)
    assert process.wait(timeout=100) == 129
    done = len(rows(tmp_path / "run"))
    assert saved(tmp_path / "run", done)["round"] == done
    assert (
        f"stopped after round {done}; go on with: python -m fedlit.run resume=run"
        in (tmp_path / "run" / "run.log").read_text()
    )
