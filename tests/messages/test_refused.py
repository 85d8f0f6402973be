"""Messages, means and server states that are not finite: refused in the round in which they arise, and named."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from fedlit.aggregators import FedAMP, FedAvg, FedPer, Scaffold
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.messages.reductions import Mean
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire, flatten_message
from fedlit.server_round import ServerRound
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running
from tests.slow import some_slow
from tests.small_runs import command, rows, saved

BAD = 2  # the client whose message the server cannot use
TRAINERS: dict[str, tuple[type[Trainer], dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "one stack": (VectorizedTrainer, {"stack": "always"}),
    "stacks of two": (VectorizedTrainer, {"stack": "always", "chunk": 2}),
}
COHORTS = [[0, 1, 2, 3]] * 2


class Marked(Stage):
    """Sends each number with its client's number, and keeps how often it did; `decode` of client 2 gives `value`."""

    decodes: ClassVar[bool] = True

    def __init__(self, value: float = float("inf"), key: str = "delta.weights"):
        self.value, self.key = value, key

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        return {"sent": torch.zeros_like(client.examples)}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return wire | {"number": client.number}, {"sent": state["sent"] + 1}

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        wire = dict(wire)
        is_bad = wire.pop("number")[:, 0] == BAD
        return wire | {self.key: torch.where(is_bad[:, None], self.value, wire[self.key])}


class Unpacks(FedAvg):
    """`unpack` divides by zero for the client of nine samples."""

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return {**message, "n": client.examples}, state

    def unpack(self, message, round):
        return {"delta": message["delta"] / (message["n"] != 9).double()}


def running(folder: Path, trainer: str, aggregator: Any, cohorts: list[list[int]], **options: Any) -> Running:
    kind, trainer_options = TRAINERS[trainer]
    return Running(folder, aggregator, Listed(*cohorts), kind=kind, **trainer_options, **options)


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["stacks of two"]))
@pytest.mark.parametrize(
    ("aggregator", "stage", "says"),
    [
        (FedAvg, Marked(), "in delta.weights after decode of uplink.sent"),
        (FedAvg, Marked(float("nan")), "in delta.weights after decode of uplink.sent"),
        (Scaffold, Marked(float("-inf"), "c"), "in c after decode of uplink.sent"),
        (partial(FedPer, "head"), Marked(), "in delta.weights after decode of uplink.sent"),
        (Unpacks, None, "in delta.weights after unpack of Unpacks"),
        (Unpacks, Stage(), "in delta.weights after unpack of Unpacks"),
    ],
)
def test_a_message_that_is_not_finite_on_the_server_is_lost_and_the_round_goes_on(
    aggregator: Any, stage: Stage | None, says: str, trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = {} if stage is None else {"sent": stage}
    run = running(tmp_path, trainer, aggregator(), COHORTS, uplink=uplink).go(2)
    expected = running(tmp_path, trainer, aggregator(), [[0, 1, 3]] * 2, uplink=uplink).go(2)
    for key, value in flatten_message(expected.state.server).items():
        torch.testing.assert_close(flatten_message(run.state.server)[key], value, rtol=0, atol=1e-12)
    assert run.state.clients.get([BAD]) == [None]
    assert [(row["cohort/arrived"], row["cohort/lost"], row["cohort/idle"]) for row in run.rows] == [(3, 1, 0)] * 2
    assert [row["cohort/refused"] for row in run.rows] == [1, 1]
    for row, without in zip(run.rows, expected.rows, strict=True):  # a refused message has travelled
        assert row["comm/bytes_up"] * 3 == without["comm/bytes_up"] * 4
    assert run.state.lost == 2
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "refused" in r.getMessage()]
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"client 2, round {number}: its message has NaN or infinite values {says}")
    assert len(lines) == 2


class Masked(Mean):
    """A client half that fails for one client."""

    def encode(self, client, wire, weighting):
        return {key: torch.where(client.number == BAD, float("nan"), value) for key, value in wire.items()}


def test_the_client_half_of_a_reduction_is_checked_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Running(tmp_path, FedAvg(), reduction=Masked()).go()
    assert run.rows[0]["cohort/lost"] == 1 and bool(run.weights.isfinite().all())
    assert (
        "client 2, round 1: its message has NaN or infinite values in delta.weights after encode of Masked"
        in caplog.text
    )


def test_a_round_whose_messages_are_all_refused_keeps_the_server_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Running(tmp_path, FedAvg(), Listed([BAD], [0]), uplink={"sent": Marked()}).go()
    assert torch.equal(run.weights, run.start.weights)
    assert "round 1: nobody trained, and the server keeps its state; of 1 client that was asked, 1 lost" in caplog.text
    assert not torch.equal(run.go().weights, run.start.weights)


class Overflows(Stage):
    """Half precision, of numbers that are too large for it where they are those of one client."""

    decodes: ClassVar[bool] = True

    def __init__(self, only: int):
        self.only = only

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        factor = torch.where(client.number == self.only, 1e9, 1.0)
        return {key: (factor * value).half() for key, value in wire.items()}, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        return {key: value.double() for key, value in wire.items()}


class Rounds(Stage):
    """Whole numbers, into which NaN does not fit."""

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return {key: value.nan_to_num().round().long() for key, value in wire.items()}, state


class NanMessage(FedAvg):
    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return {**message, "c": torch.where(client.number == BAD, float("nan"), client.examples)}, state


@pytest.mark.parametrize(
    ("aggregator", "uplink", "says"),
    [
        (NanMessage, {}, "client 2, round 1: its update has NaN or infinite values in c;"),
        (NanMessage, {"rounds": Rounds()}, "client 2, round 1: its update has NaN or infinite values in c;"),
    ],
    ids=["message", "hidden by a stage"],
)
def test_the_key_of_a_clients_own_fault_is_named(
    aggregator: Any, uplink: dict[str, Stage], says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        Running(tmp_path, aggregator(), uplink=uplink).go()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_message_that_a_stage_makes_infinite_is_refused_whatever_on_failure_says(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = running(tmp_path, trainer, FedAvg(), COHORTS, uplink={"same": Stage(), "half": Overflows(only=BAD)}).go()
    assert run.rows[0]["cohort/refused"] == run.rows[0]["cohort/lost"] == 1
    assert run.state.clients.get([BAD]) == [None] and bool(run.weights.isfinite().all())
    assert "client 2, round 1: its message has NaN or infinite values in delta.weights after uplink.half" in caplog.text


class Suspicious(Stage):
    """Refuses the messages of some clients."""

    decodes: ClassVar[bool] = True

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        sent.refuse([row for row, client in enumerate(sent.clients) if client in (1, BAD)], "it is not trusted")
        return wire


class SeesNobodySuspicious(Stage):
    """Comes after `Suspicious` on the server: a refused message has to be gone."""

    decodes: ClassVar[bool] = True

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        assert not {1, BAD} & set(sent.clients) and len(wire["delta.weights"]) == len(sent.clients)
        return wire


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_stage_refuses_messages_and_their_clients_count_as_lost(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = {"first": SeesNobodySuspicious(), "last": Suspicious()}
    run = running(tmp_path, trainer, FedAvg(), COHORTS, uplink=uplink).go()
    expected = running(tmp_path, trainer, FedAvg(), [[0, 3]]).go()
    torch.testing.assert_close(run.weights, expected.weights, rtol=0, atol=1e-12)
    assert (run.rows[0]["cohort/refused"], run.rows[0]["cohort/lost"], run.rows[0]["cohort/arrived"]) == (2, 2, 2)
    assert "client 2, round 1: uplink.last: it is not trusted; the message is refused" in caplog.text


@pytest.mark.parametrize("rows", [[0, 2], torch.tensor([2, 0]), torch.tensor([True, False, True, False])])
def test_rows_that_are_refused_are_numbers_or_bools(rows: Any) -> None:
    sent = Sent([4, 7, 9, 3], ServerRound(1, 0, [4, 7, 9, 3], 10))
    sent.refuse(rows, "it is not trusted")
    assert sent.refusals == {0: "it is not trusted", 2: "it is not trusted"}


class Huge(FedAvg):
    """Each message is finite in single precision, and the sum over the samples is not."""

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return {**message, "c": torch.full((len(client.number), 3), 1e38, dtype=torch.float32)}, state


class Blind(Mean):
    blind: ClassVar[bool] = True


@pytest.mark.parametrize("reduction", [None, Blind()])
def test_a_sum_that_overflows_is_named_in_its_round(reduction: Any, tmp_path: Path) -> None:
    run = Running(tmp_path, Huge(), reduction=reduction)
    with pytest.raises(InputError, match=r"round 1: (Mean|Blind) of the messages has NaN or infinite values in c,"):
        run.go()
    assert run.state.round == 0 and torch.equal(run.weights, run.start.weights)


class SecondRoundNan(FedAvg):
    """The server's own numbers diverge in the second round."""

    def server_update(self, server, reduced, round):
        after = super().server_update(server, reduced, round)
        return after if round.number < 2 else {**after, "model": after["model"] * float("inf")}


class Momentum(FedAvg):
    """The server's state that clients receive diverges, and its model does not."""

    def server_state(self, model, rng):
        return {"model": model, "v": torch.ones(3, dtype=torch.float64)}

    def server_update(self, server, reduced, round):
        return {**super().server_update(server, reduced, round), "v": server["v"] * 1e200}


@pytest.mark.parametrize(("aggregator", "path"), [(SecondRoundNan, "model.weights"), (Momentum, "v")])
def test_a_server_that_diverges_is_blamed_in_its_round_and_keeps_its_state(
    aggregator: Any, path: str, tmp_path: Path
) -> None:
    run = Running(tmp_path, aggregator(), Listed(*COHORTS)).go()
    before, clients = run.state.server, dict(run.state.clients.items())
    with pytest.raises(InputError, match=rf"round 2: server_update of {aggregator.__name__} made NaN .* in {path} of"):
        run.go()
    assert run.state.round == 1 and run.state.server is before and dict(run.state.clients.items()) == clients


def test_the_checkpoint_before_a_server_diverged_goes_on(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["debug=tiny", "threads=1", "device=cpu", "logger=none", "rounds=3", "checkpoint.every=9999"]
    words += [f"aggregator._target_={__name__}.SecondRoundNan", "hydra.run.dir=run"]
    for again in (words, ["resume=run"]):
        assert command(*again) == 2
        assert "round 2: server_update of SecondRoundNan made NaN or inf" in capsys.readouterr().err
        assert saved(Path("run"), 1)["round"] == 1 and [row["round"] for row in rows(Path("run"))] == [1]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_message_of_an_algorithm_that_needs_all_is_finite(trainer: str, tmp_path: Path) -> None:
    class Checked(FedAMP):
        def unpack(self, message, round):
            factor = torch.where(message["w"][:, :1] == self.bad, float("inf"), 1.0)
            return {"w": message["w"] * factor}

    first = running(tmp_path, trainer, FedAMP(), [[0, 1, 2, 3]]).go()
    checked = Checked()
    checked.bad = first.client_state(BAD)["model"].weights[0]
    run = running(tmp_path, trainer, checked, [[0, 1, 2, 3]]).go()
    assert run.rows[0]["cohort/lost"] == 1 and run.state.clients.get([BAD]) == [None]
    assert torch.equal(run.state.server["w"][BAD], run.start.weights)


def test_a_division_by_a_learning_rate_of_0_is_named(tmp_path: Path) -> None:
    run = Running(tmp_path, Scaffold(), optimizer={"lr": 0.0})
    with pytest.raises(InputError, match=r"NaN or infinite values in c, and a fit changed no weight \(is its"):
        run.go()
