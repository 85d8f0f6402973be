"""A run on the server of Weights & Biases, by a substitute for its package, because tests reach no server."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from fedlit.errors import InputError
from fedlit.tracking import MetricsFile
from fedlit.tracking.wandb_run import Wandb
from tests.tracking.runs import about, row


class Unreached(RuntimeError):
    """The package's CommError."""


class Server:
    """The part of the package that is used. A step that the server has is refused, as the real one does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}
        self.exit_codes: list[int] = []
        self.arguments: dict[str, Any] = {}
        self.refusal: Exception | None = None
        self.offline = False
        self.config = types.SimpleNamespace(update=lambda values, allow_val_change: None)
        self.errors = types.SimpleNamespace(Error=RuntimeError, CommError=Unreached)
        self.Settings = dict

    def init(self, **arguments: Any) -> Server:
        if self.refusal is not None:
            raise self.refusal
        self.arguments = arguments
        self._run = self.rows.setdefault(arguments["id"], {})
        self.starting_step = max(self._run) + 1 if self._run else 0
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        pass

    def log(self, values: dict[str, Any], step: int, commit: bool) -> None:
        assert commit and step not in self._run and step >= self.starting_step
        self._run[step] = values

    def finish(self, exit_code: int) -> None:
        self.exit_codes.append(exit_code)


@pytest.fixture
def server(monkeypatch: Any) -> Server:
    made = Server()
    monkeypatch.setitem(sys.modules, "wandb", made)
    return made


def tell(folder: Path, numbers: list[int], resumed_after: int, end: int | None) -> None:
    run = about(folder, resumed_after=resumed_after)
    file, logger = MetricsFile(), Wandb(project="mine", options={"entity": "team"})
    file.start(run)
    logger.start(run)
    for number in numbers:
        file.round(number, row(number), {})
        logger.round(number, row(number), {})
    if end is not None:
        logger.finish({"rounds": end})
    logger.close()


def test_a_resumed_run_sends_each_round_once_with_the_round_as_step(server: Server, tmp_path: Path) -> None:
    tell(tmp_path, [1, 2, 3, 4], resumed_after=0, end=None)
    tell(tmp_path, [3, 4, 5], resumed_after=2, end=5)
    [sent] = server.rows.values()
    assert sent == {number: {"round": number, **row(number)} for number in range(1, 6)}
    assert server.exit_codes == [1, 0]
    assert server.arguments["project"] == "mine" and server.arguments["entity"] == "team"


def test_rounds_that_the_server_never_got_are_sent_from_the_metrics_file(server: Server, tmp_path: Path) -> None:
    tell(tmp_path, [1, 2, 3, 4], resumed_after=0, end=None)
    [sent] = server.rows.values()
    del sent[3], sent[4]
    tell(tmp_path, [5], resumed_after=4, end=5)
    assert list(sent) == [1, 2, 3, 4, 5]


LOGIN = r"run wandb login, or write logger\.wandb\.mode=offline\.$"
ARGUMENTS = r"correct logger\.wandb\.project=a:b or another key of logger\.wandb \(options has entiti\)\.$"


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (RuntimeError("No API key configured. Use `wandb login` to log in."), LOGIN),
        (Unreached("timed out"), LOGIN),
        (RuntimeError("Invalid project name 'a:b'"), ARGUMENTS),
        (TypeError("unexpected keyword argument 'entiti'"), ARGUMENTS),
        (ValueError("1 validation error for Settings"), ARGUMENTS),
    ],
)
def test_a_start_that_fails_is_a_sentence(server: Server, tmp_path: Path, refusal: Exception, advice: str) -> None:
    server.refusal = refusal
    with pytest.raises(InputError, match=rf"^logger=wandb cannot start \({type(refusal).__name__}: .*\); {advice}"):
        Wandb("a:b", options={"entiti": "team"}).start(about(tmp_path))


@pytest.mark.parametrize("name", ["id", "name", "resume", "reinit"])
def test_what_a_run_sets_itself_is_no_option(name: str) -> None:
    with pytest.raises(InputError, match=rf"^logger\.wandb\.options\.{name}=x: a run sets {name} itself, "):
        Wandb(options={"entity": "team", name: "x"})
