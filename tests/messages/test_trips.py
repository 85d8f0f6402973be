"""Stages of several trips: the clients that arrived are asked again in the same round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.engines import Processes, Serial
from fedlit.messages.stages import Stage
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running

HEAD = 5  # numbers that travel in the first trip


class InTwo(Stage):
    """The first numbers travel in the first trip, the others in the second; the server tells the sum of the first."""

    trips = 2

    def __init__(self, fails: int = -1):
        self.fails = fails

    def state(self, client: Any, wire: Any) -> dict[str, Any]:
        return {"rounds": torch.zeros_like(client.examples)}

    def encode(self, client: Any, wire: Any, state: dict[str, Any]) -> Any:
        weights = wire.pop("delta.weights")
        rest = {"rest": weights[:, HEAD:], "rounds": state["rounds"] + 1}
        return wire | {"delta.weights.first": weights[:, :HEAD]}, rest

    def ask(self, means: list[Any], server: dict[str, Any]) -> Any:
        return {"sum": means[0]["delta.weights.first"].sum()}

    def answer(self, client: Any, received: Any, state: dict[str, Any]) -> Any:
        if self.fails in client.number[:, 0].tolist():
            raise RuntimeError("the second message is not sent")
        wire = {"delta.weights.rest": state["rest"], "delta.heard": received["sum"].expand(len(client.number), 1)}
        return wire, {"rounds": state["rounds"]}

    def means(self, means: list[Any], server: dict[str, Any]) -> Any:
        torch.testing.assert_close(means[1]["delta.heard"][0], means[0]["delta.weights.first"].sum())
        weights = torch.cat([means[0]["delta.weights.first"], means[1]["delta.weights.rest"]])
        return {"delta.weights": weights, "delta.statistics": means[0]["delta.statistics"]}


@pytest.mark.parametrize(
    ("kind", "options"),
    [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "always"}), (VectorizedTrainer, {"chunk": 2})],
    ids=["lightning", "one stack", "chunks of two"],
)
def test_two_trips_give_the_mean_of_whole_messages(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    rounds = [[0, 1, 2, 3], [3, 1]]
    run = Running(tmp_path, FedAvg(), Listed(*rounds), kind=kind, uplink={"two": InTwo()}, **options).go(2)
    plain = Running(tmp_path, FedAvg(), Listed(*rounds), kind=kind, **options).go(2)
    torch.testing.assert_close(run.weights, plain.weights, rtol=0, atol=1e-12)
    states = [run.state.clients.get([client])[0] for client in range(4)]
    assert [float(state["stages"]["two"]["rounds"]) for state in states if state] == [1, 2, 1, 2]
    assert all("rest" not in state["stages"]["two"] for state in states if state)
    for row, without, clients in zip(run.rows, plain.rows, (4, 2), strict=True):
        assert row["comm/bytes_down"] - without["comm/bytes_down"] == 8 * clients
        assert row["comm/bytes_up"] - without["comm/bytes_up"] == 8 * clients


@pytest.mark.parametrize("engine", [Serial, Processes])
def test_a_client_that_is_lost_in_the_second_trip_keeps_its_state(engine: Any, tmp_path: Path) -> None:
    uplink = {"two": InTwo(fails=1)}
    with engine(on_failure="drop") as used:
        run = Running(tmp_path, FedAvg(), Listed([0, 1, 2]), engine=used, uplink=uplink).go()
        assert (run.rows[0]["cohort/arrived"], run.rows[0]["cohort/lost"]) == (2, 1)
        assert run.state.clients.get([1]) == [None] and run.state.clients.get([2]) != [None]
        kept = Running(tmp_path / "kept", FedAvg(), Listed([0, 2])).go()
        torch.testing.assert_close(run.weights[HEAD:], kept.weights[HEAD:], rtol=0, atol=1e-12)
        for name in ("train/loss", "update/norm"):
            assert run.rows[0][name] == pytest.approx(kept.rows[0][name], rel=1e-12), "without the client that is lost"


def test_a_round_in_which_nobody_answers_keeps_the_server(tmp_path: Path) -> None:
    with Serial(on_failure="drop") as used:
        run = Running(tmp_path, FedAvg(), Listed([1]), engine=used, uplink={"two": InTwo(fails=1)}).go()
    assert torch.equal(run.weights, run.start.weights) and run.state.clients.get([1]) == [None]
    assert (run.rows[0]["cohort/arrived"], run.rows[0]["cohort/lost"]) == (0, 1)
