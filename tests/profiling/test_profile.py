"""`debug=profile`: moments divided among parts, the table of a run, and nothing left behind."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedlit.profiling.parts import FUNCTIONS, NOT_ACCOUNTED, OUTSIDE, STEPS, owner_of
from fedlit.profiling.profile import _Counts, _name, table
from fedlit.profiling.timer import Timer
from fedlit.tracking import MetricsFile
from fedlit.tracking.clients_file import ClientsFile
from fedlit.tracking.figures import Figures
from fedlit.tracking.guarded import Guarded
from fedlit.tracking.log_lines import LogLines
from fedlit.tracking.progress import PlainProgress
from tests.slow import some_slow
from tests.small_runs import command, numbers

WORDS = ("clients=3", "rounds=2", "threads=1", "device=cpu", "logger=none")


class Work:
    """Functions that take a given time of a clock."""

    def __init__(self, root: str = "rest") -> None:
        self.now, self.waited = 0.0, 0
        self.timer = Timer(root, self._wait, lambda: self.now)

    def _wait(self) -> None:
        self.waited += 1

    def takes(self, seconds: float) -> None:
        self.now += seconds


def test_each_moment_belongs_to_the_innermost_part() -> None:
    work = Work()
    inner = work.timer.timed("inner", lambda: work.takes(2))
    outer = work.timer.timed("outer", lambda: (work.takes(3), inner(), work.takes(4), inner()))
    inner()  # before the root: not measured
    assert not work.timer.seconds
    work.timer.timed("rest", lambda: (work.takes(5), outer(), work.takes(6), inner(), outer()))()
    assert work.timer.seconds == {"rest": 11, "outer": 14, "inner": 10}
    assert work.timer.calls == {"rest": 1, "outer": 2, "inner": 5}
    assert sum(work.timer.seconds.values()) == work.now - 2


def test_a_whole_part_has_no_parts_within_and_only_coarse_parts_wait_for_the_device() -> None:
    work = Work()
    step = work.timer.timed("step", lambda: work.takes(1), waits=False)
    whole = work.timer.timed("whole", step, undivided=True)
    work.timer.timed("rest", lambda: (step(), step()))()
    assert work.waited == 2
    work.timer.timed("rest", whole)()
    assert work.timer.seconds == {"rest": 0, "step": 2, "whole": 1} and work.waited == 6


def test_an_error_closes_the_parts_that_it_leaves() -> None:
    work = Work()

    def fails() -> None:
        work.timer.begin("step")
        work.takes(2)
        raise RuntimeError

    def run() -> None:
        with pytest.raises(RuntimeError):
            work.timer.timed("fit", fails)()
        work.takes(3)

    work.timer.timed("rest", run)()
    assert work.timer.seconds == {"rest": 3, "fit": 0, "step": 2}


def test_iterations_are_measured_step_by_step_and_closed() -> None:
    work, closed = Work(), []

    def items() -> Iterator[int]:
        try:
            for item in (1, 2, 3):
                work.takes(1)
                yield item
        finally:
            closed.append(True)

    def run() -> None:
        for item in work.timer.timed_iteration("data", items)():
            work.takes(10)
            if item == 2:
                break

    work.timer.timed("rest", run)()
    assert work.timer.seconds == {"rest": 20, "data": 2} and closed == [True]


def test_other_threads_are_not_measured() -> None:
    work = Work()
    part = work.timer.timed("part", lambda: work.takes(1))

    def run() -> None:
        thread = threading.Thread(target=part)
        thread.start()
        thread.join()

    work.timer.timed("rest", run)()
    assert work.timer.seconds == {"rest": 1}


@pytest.mark.parametrize("path", FUNCTIONS)
def test_each_part_is_a_function_of_the_code(path: str) -> None:
    importlib.import_module(path.partition(":")[0])
    owner, name = owner_of(path)
    assert callable(vars(owner)[name])  # not inherited: its class would be measured under two names


def test_the_table_has_seconds_a_round_shares_and_calls() -> None:
    work = Work(root=NOT_ACCOUNTED)
    slow = work.timer.timed("slow", lambda: work.takes(3))
    fast, faster = (work.timer.timed(name, lambda: work.takes(0.002)) for name in ("fast", "faster"))
    work.timer.timed(NOT_ACCOUNTED, lambda: (slow(), fast(), slow(), faster(), work.takes(2)))()
    assert table(work.timer, _Counts(rounds=4), "trainer=x, engine=y").splitlines() == [
        "Where the time of 4 rounds went (trainer=x, engine=y):",
        "",
        "| part              | seconds | a round |  share | calls |",
        "|-------------------|--------:|--------:|-------:|------:|",
        "| slow              |   6.000 |   1.500 |  75.0% |     2 |",
        "| 2 other parts     |   0.004 |   0.001 |   0.0% |     2 |",
        "| not accounted for |   2.000 |   0.500 |  25.0% |       |",
        "| 4 rounds          |   8.004 |   2.001 | 100.0% |       |",
    ]


def test_loggers_have_the_names_that_users_know() -> None:
    loggers = [Guarded("mine", PlainProgress()), MetricsFile(), LogLines(), Figures(), ClientsFile(), PlainProgress()]
    assert [_name(logger) for logger in loggers] == [
        *("mine", "metrics.jsonl", "run.log", "figures", "clients.jsonl", "terminal"),
    ]


def functions() -> dict[str, Any]:
    return {path: getattr(*owner_of(path)) for path in FUNCTIONS if "ray" not in path}


@pytest.mark.parametrize(
    ("words", "parts"),
    some_slow(
        [
            ("trainer=lightning", {STEPS, OUTSIDE, "training: data", "evaluation: after the round", "checkpoints"}),
            ("trainer=vectorized aggregator=ditto", {STEPS, OUTSIDE, "evaluation: clients that train"}),
            ("trainer=vectorized trainer.stack=never", {STEPS, OUTSIDE, "training: data"}),
            ("engine=processes", {"waiting for the workers", "transport to and from the workers"}),
        ],
        quick=[("trainer=lightning", {STEPS, OUTSIDE, "training: data", "evaluation: after the round", "checkpoints"})],
    ),
)
def test_a_profiled_run_has_the_same_numbers_and_a_table(
    words: str,
    parts: set[str],
    in_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = functions()
    run = (*WORDS, *words.split(), "checkpoint.every=0", "progress=plain", "logger=csv")
    assert command(*run, "hydra.run.dir=with", "debug=profile") == 0
    text = Path("with/profile.md").read_text()
    assert capsys.readouterr().out.endswith(text)
    monkeypatch.delitem(sys.modules, "fedlit.profiling.profile")
    assert command(*run, "hydra.run.dir=without") == 0
    assert "fedlit.profiling.profile" not in sys.modules
    assert not Path("without/profile.md").exists()
    assert numbers(Path("with")) == numbers(Path("without"))
    assert functions() == before  # none stays wrapped
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    seconds = {row[0]: float(row[1]) for row in cells[2:]}
    assert parts <= seconds.keys()
    assert all(share == "0.0%" or float(taken) > 0 for _, taken, _, share, _ in cells[2:])
    loggers = {name.removeprefix("logging: ") for name in seconds if name.startswith("logging: ")}
    assert loggers <= {"metrics.jsonl", "figures", "run.log", "terminal", "csv"}
    assert abs(sum(seconds.values()) - 2 * seconds["2 rounds"]) < 0.1  # the last line is the sum of the others
    assert seconds[NOT_ACCOUNTED] < 0.1 * seconds["2 rounds"] + 0.02
    assert words.partition(" ")[0].partition("=")[2] in text.splitlines()[0]
