"""The bytes that are counted are those of the wire, after all stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlit.aggregators import FedAvg
from fedlit.client import Client
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from tests.aggregators.federations import Listed, Running

COHORTS = [[0, 2], [3, 1, 2]]
WEIGHTS = (6 * 5 + 5) + (5 * 3 + 3) + (5 + 5)  # body, head and normalisation
STATISTICS = 5 + 5


class Single(Stage):
    """The weights in single precision."""

    decodes: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return wire | {"delta.weights": wire["delta.weights"].float()}, state

    def decode(self, wire: Wire) -> Wire:
        return wire | {"delta.weights": wire["delta.weights"].double()}


class Counted(Stage):
    """Keeps with each client the number of its messages."""

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        return {"sent": torch.zeros_like(client.examples)}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return wire, {"sent": state["sent"] + 1}


def test_bytes_are_those_of_the_tensors_that_travel(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True).go(2)
    each = 8 * (WEIGHTS + STATISTICS)
    assert [r["comm/bytes_down"] for r in run.rows] == [2 * each, 3 * each]
    assert [r["comm/bytes_up"] for r in run.rows] == [2 * each, 3 * each]


def test_a_stage_that_sends_less_is_counted_less_and_decoded(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True, uplink={"single": Single()}).go(2)
    each = 4 * WEIGHTS + 8 * STATISTICS
    assert [r["comm/bytes_up"] for r in run.rows] == [2 * each, 3 * each]
    plain = Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True).go(2)
    assert run.weights.dtype == torch.float64
    assert 0 < float((run.weights - plain.weights).abs().max()) < 1e-5


def test_a_stage_keeps_its_state_with_each_client(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), uplink={"counted": Counted()}, epochs=1).go(2)
    kept = dict(enumerate(run.state.clients.get(range(4))))
    assert {c: float(s["counted"]["sent"]) for c, s in kept.items() if s} == {0: 1, 1: 1, 2: 2, 3: 1}
