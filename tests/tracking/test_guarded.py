"""A logger that raises in the middle of a run receives nothing more, and the run goes on."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from fedlit.errors import InputError, NotWritten
from fedlit.interrupts import Interrupted
from fedlit.stop import Stop
from fedlit.tracking import Logger
from fedlit.tracking.guarded import Guarded
from tests.small_runs import command, rows
from tests.tracking.runs import about

CALLS = ("cohort", "client_done", "round", "clients", "finish", "close")


class Failing(Logger):
    """Notes its calls, and raises in some of them."""

    def __init__(self, where: str = "", error: BaseException | None = None):
        self.calls: list[str] = []
        self.where, self.error = where, error or ZeroDivisionError("no luck")

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name == self.where:
            raise self.error

    def start(self, about: Any) -> None:
        self._note("start")

    def cohort(self, number: int, size: int) -> None:
        self._note("cohort")

    def client_done(self, number: int, done: int) -> None:
        self._note("client_done")

    def round(self, number: int, row: Any, pictures: Any) -> None:
        self._note("round")

    def clients(self, number: int, facts: Any) -> None:
        self._note("clients")

    def finish(self, summary: Any) -> None:
        self._note("finish")

    def close(self) -> None:
        self._note("close")


def times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("time/")}


def tell(logger: Logger, folder: Path) -> None:
    logger.start(about(folder))
    for number in (1, 2):
        logger.cohort(number, 3)
        logger.client_done(number, 1)
        logger.round(number, {"train/loss": 1.0}, {})
        logger.clients(number, [])
    logger.finish({"rounds": 2})
    logger.close()


def test_all_calls_arrive(tmp_path: Path) -> None:
    logger = Failing()
    tell(Guarded("mine", logger), tmp_path)
    assert logger.calls == ["start", *CALLS[:4], *CALLS[:4], "finish", "close"]


@pytest.mark.parametrize("where", CALLS)
def test_after_an_error_a_logger_is_closed_only(where: str, tmp_path: Path, caplog: Any) -> None:
    logger = Failing(where)
    tell(Guarded("mine", logger), tmp_path)
    everything = ["start", *CALLS[:4], *CALLS[:4], "finish"]
    before = everything[: everything.index(where) + 1] if where != "close" else everything
    assert logger.calls == [*before, "close"]
    [record] = caplog.records
    assert "logger.mine failed" in record.getMessage() and "ZeroDivisionError: no luck" in record.getMessage()


def test_an_error_in_the_start_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        tell(Guarded("mine", Failing("start")), tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        Stop("enough"),
        InputError("a sentence"),
        NotWritten("a file", "full"),
        OSError(errno.ENOSPC, "full"),
        Interrupted(),
        SystemExit(),
    ],
)
def test_errors_with_a_meaning_of_their_own_end_the_run(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        tell(Guarded("mine", Failing("round", error)), tmp_path)


def test_the_run_goes_on_to_the_same_numbers_and_run_log_has_the_trace(in_folder: Path, capsys: Any) -> None:
    words = ["clients=3", "rounds=3", "threads=1", "device=cpu", "progress=plain", "logger=none"]
    mine = ["logger.mine._target_=tests.tracking.test_guarded.Failing", "logger.mine.where=client_done"]
    assert command(*words, "hydra.run.dir=plain") == 0
    assert command(*words, *mine, "hydra.run.dir=failing") == 0
    errors = capsys.readouterr().err
    assert errors.count("logger.mine failed in round 1") == 1 and "Traceback" not in errors
    log = (in_folder / "failing" / "run.log").read_text()
    assert "ZeroDivisionError: no luck" in log and "in client_done" in log
    for first, second in zip(rows(in_folder / "plain"), rows(in_folder / "failing"), strict=True):
        assert first | times(first) == second | times(first)
