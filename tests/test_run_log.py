"""run.log holds what the terminal shows, without control codes; the terminal shows everything once."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from fedlit.run_log import plain, recorded, terminal
from tests import small_runs
from tests.slow import some_slow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\\\link\x1b]8;;\x07", "red link"),
        ("\r 10%|#   |\r100%|####| 3/3\n", "100%|####| 3/3\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\tb\x00\x07é漢", "a\tbé漢"),
        ("first\x1b[2K\x1b[1Asecond", "firstsecond"),
    ],
)
def test_control_codes_are_dropped_and_the_last_state_of_a_bar_is_kept(text: str, expected: str) -> None:
    assert plain(text.replace("\\\\", "\\")) == expected


@contextmanager
def screened(folder: Path) -> Iterator[io.StringIO]:
    """In the block there is a run.log as Hydra sets it up, and a terminal that shows warnings."""
    screen, root = io.StringIO(), logging.getLogger()
    file, console = logging.FileHandler(folder / "run.log"), logging.StreamHandler(screen)
    console.setLevel(logging.WARNING)
    with (
        mock.patch.multiple(logging.getLogger("apart"), handlers=[logging.StreamHandler(screen)], propagate=False),
        mock.patch.object(sys, "stdout", screen),
        mock.patch.object(sys, "stderr", screen),
        mock.patch.object(root, "handlers", [file, console]),
        mock.patch.object(root, "level", logging.INFO),
    ):
        yield screen
    file.close()


def raise_in_thread() -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


SHOWN = {
    "print": (lambda: print("shown"), "shown"),
    "print in two parts": (lambda: (print("sh", end=""), print("own")), "shown"),
    "a last line without an end": (lambda: print("shown", end=""), "shown"),
    "writelines": (lambda: sys.stdout.writelines(["shown\n", "too\n"]), "shown"),
    "stderr": (lambda: print("shown", file=sys.stderr), "shown"),
    "colours": (lambda: print("\x1b[32mshown\x1b[0m"), "shown"),
    "a bar": (lambda: [print(f"\r{n}/9 shown", end="", file=sys.stderr) for n in range(10)], "9/9 shown"),
    "a warning of Python": (lambda: warnings.warn("shown", stacklevel=1), r":\d+: UserWarning: shown"),
    "a logged warning": (lambda: logging.getLogger("mine").warning("shown"), "shown"),
    "a logger with a handler of its own": (lambda: logging.getLogger("apart").warning("shown"), "shown"),
    "colours in a logged warning": (lambda: logging.getLogger("mine").warning("\x1b[1mshown"), "shown"),
    "a logged error": (lambda: logging.getLogger("mine").error("shown"), "shown"),
    "a trace of a thread": (raise_in_thread, "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", SHOWN)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_shown_is_in_the_log_once_and_shown_once(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    show, expected = SHOWN[case]
    with screened(tmp_path) as screen, recorded(tmp_path):
        show()
    logged = (tmp_path / "run.log").read_text()
    for text in (logged, plain(screen.getvalue())):
        assert len(re.findall(expected, text)) == 1, text
    assert "\x1b" not in logged


def test_streams_and_warnings_are_restored_and_the_terminal_alone_is_reachable(tmp_path: Path) -> None:
    before = warnings.showwarning
    with screened(tmp_path) as screen:
        with pytest.raises(KeyError), recorded(tmp_path):
            print("hidden", file=terminal(sys.stdout))
            assert sys.stdout.isatty() is False  # other attributes are those of the terminal
            raise KeyError
        assert sys.stdout is screen and warnings.showwarning is before
    assert "hidden" in screen.getvalue() and "hidden" not in (tmp_path / "run.log").read_text()


def test_a_handler_on_stdout_does_not_call_itself(tmp_path: Path) -> None:
    with screened(tmp_path) as screen, recorded(tmp_path):
        logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
        logging.getLogger("mine").info("once")
    assert screen.getvalue().count("once") == 1


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize(
    ("encoding", "expected"), [(None, "é 漢 \\udc80\n".encode()), ("latin-1", b"\xe9 \\u6f22 \\udc80\n")]
)
def test_the_log_takes_each_character(tmp_path: Path, encoding: str | None, delay: bool, expected: bytes) -> None:
    log = logging.FileHandler(tmp_path / "run.log", encoding=encoding, delay=delay)
    if log.stream is not None and encoding is None:
        log.stream.reconfigure(encoding="ascii")  # type: ignore[attr-defined]  # that of LC_ALL=C
    with mock.patch.object(logging.getLogger(), "handlers", [log]), recorded(tmp_path):
        logging.getLogger().error("é 漢 \udc80")
    log.close()
    assert (tmp_path / "run.log").read_bytes() == expected


def test_without_a_log_file_nothing_changes(tmp_path: Path) -> None:
    before = sys.stdout, warnings.showwarning
    with recorded(tmp_path):
        assert (sys.stdout, warnings.showwarning) == before


# --- runs

WORDS = ["clients=2", "threads=1", "device=cpu", "logger=none", "data=synthetic", "data.size_log_std=0"]


def lines(text: str) -> list[str]:
    """Lines with spaces, codes and a log's prefix removed."""
    stripped = [re.sub(r"^\[[^]]*\]\[[^]]*\]\[[A-Z]*\] - ", "", line).strip() for line in plain(text).splitlines()]
    return [line for line in stripped if line]


@pytest.mark.parametrize("progress", some_slow(["plain", "rich", "none"], ["rich"]))
def test_a_run_and_its_continuation(progress: str, in_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"progress={progress}"]
    assert small_runs.command(*words, "rounds=3", "hydra.run.dir=run") == 0
    shown = capfd.readouterr()
    first = (in_folder / "run" / "run.log").read_text()
    numbers = [line.split()[1] for line in lines(first) if line.startswith("round ")]
    assert numbers == ["1/3", "2/3", "3/3"]
    closing = [line for line in lines(first) if line.startswith("3 rounds in ")]
    assert len(closing) == 1 and "\x1b" not in first and "\u2501" not in first
    assert lines(shown.out).count(closing[0]) == (progress != "none")
    if progress == "plain":
        thinned = "(rounds are fast: "  # run.log has all rounds
        assert {line for line in lines(shown.out) if not line.startswith(thinned)} <= set(lines(first))

    assert small_runs.command("resume=run", "rounds=4") == 0
    both = (in_folder / "run" / "run.log").read_text()
    assert both.startswith(first)
    assert [line.split()[1] for line in lines(both[len(first) :]) if line.startswith("round ")] == ["4/4"]

    capfd.readouterr()
    assert small_runs.command("resume=run") == 0
    said = "this run has done its 4 rounds; write rounds=<more> to go on with it."
    assert capfd.readouterr().err == f"{said}\n"
    assert (in_folder / "run" / "run.log").read_text()[len(both) :].count(said) == 1


LOGGING = [
    *(f"hydra/job_logging={option}" for option in ("default", "disabled", "none", "stdout")),
    "hydra.job_logging.handlers.console.level=INFO",
]


@pytest.mark.parametrize("setting", some_slow(LOGGING, ["hydra/job_logging=stdout", "hydra/job_logging=disabled"]))
def test_another_logging_of_hydra_shows_no_line_twice(
    setting: str, in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "rounds=2", "progress=plain", setting, "hydra.run.dir=run"]
    assert small_runs.command(*words) == 0
    shown = capfd.readouterr()
    assert [(shown.out + shown.err).count(part) for part in ("round 1/2", "2 rounds in ")] == [1, 1]


@pytest.mark.slow
def test_each_run_of_a_sweep_has_its_own_lines(in_folder: Path) -> None:
    assert small_runs.command("-m", *WORDS, "rounds=1", "seed=1,2", "progress=plain", "hydra.sweep.dir=sweep") == 0
    for seed in (1, 2):
        text = (in_folder / "sweep" / f"seed={seed}" / "run.log").read_text()
        assert [text.count(part) for part in ("round 1/1", f"sweep/seed={seed}", f"sweep/seed={3 - seed}")] == [1, 2, 0]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_warnings_of_a_step_are_in_the_log(engine: str, in_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (in_folder / "warning_net.py").write_text(
        "import warnings\nimport torch\nfrom lightning import LightningModule\n\n\n"
        "class Net(LightningModule):\n"
        "    def __init__(self, input_shape, classes):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(input_shape[0], classes)\n\n"
        "    def training_step(self, batch, batch_idx):\n"
        "        if self.training and getattr(self, 'round', 0) == 1:\n"
        "            warnings.warn('doubtful')\n"
        "        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])\n"
    )
    words = [*WORDS, "rounds=1", "model._target_=warning_net.Net", "hydra.run.dir=run", f"engine={engine}"]
    assert small_runs.command(*words) == 0
    logged = (in_folder / "run" / "run.log").read_text().count("UserWarning: doubtful")
    assert logged >= 1 and capfd.readouterr().err.count("UserWarning: doubtful") == logged
