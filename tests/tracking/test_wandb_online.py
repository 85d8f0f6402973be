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


class Server:
    """The part of the package that is used. A step that the server has is refused, as the real one does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}
        self.exit_codes: list[int] = []
        self.arguments: dict[str, Any] = {}
        self.refusal: Exception | None = None
        self.offline = False
        self.config = types.SimpleNamespace(update=lambda values, allow_val_change: None)
        self.errors = types.SimpleNamespace(Error=RuntimeError)
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


@pytest.mark.parametrize("refusal", [RuntimeError("no API key"), TypeError("unexpected keyword argument 'entiti'")])
def test_a_start_that_fails_is_a_sentence(server: Server, tmp_path: Path, refusal: Exception) -> None:
    server.refusal = refusal
    with pytest.raises(
        InputError, match=r"logger=wandb cannot start .*; run wandb login, or write logger\.wandb\.mode="
    ):
        Wandb().start(about(tmp_path))
