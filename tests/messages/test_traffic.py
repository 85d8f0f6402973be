"""The bytes that are counted are those of the wire, after all stages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from fedlit.aggregators import FedAvg
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running

COHORTS = [[0, 2], [3, 1, 2]]
WEIGHTS = (6 * 5 + 5) + (5 * 3 + 3) + (5 + 5)  # body, head and normalisation
STATISTICS = 5 + 5


class Single(Stage):
    """The weights in single precision."""

    decodes: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return wire | {"delta.weights": wire["delta.weights"].float()}, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
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


class AboveThreshold(Stage):
    """The entries of a client's update above its mean size, and where they are: rows of unequal lengths."""

    decodes: ClassVar[bool] = True

    def __init__(self, padded: bool = False):
        self.padded = padded

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        delta = wire["delta.weights"]
        masks = [row.abs() > row.abs().mean() for row in delta]
        values = [row[mask] for row, mask in zip(delta, masks, strict=True)]
        index = [mask.nonzero()[:, 0] for mask in masks]
        if self.padded:
            return wire | {"delta.weights": pad_sequence(values, True), "index": pad_sequence(index, True)}, state
        return wire | {"delta.weights": values, "index": index}, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        dense = torch.zeros(len(wire["index"]), WEIGHTS, dtype=torch.float64)
        for row, index, values in zip(dense, wire["index"], wire["delta.weights"], strict=True):
            row.index_add_(0, index, values)
        return {"delta.weights": dense, "delta.statistics": wire["delta.statistics"]}


def test_rows_of_unequal_lengths_have_the_same_bytes_under_any_trainer_and_chunk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = {"above": AboveThreshold()}
    kinds: list[dict[str, Any]] = [{}, {"kind": VectorizedTrainer, "stack": "always"}]
    kinds += [{"kind": VectorizedTrainer, "stack": "always", "chunk": 2}]
    runs = [Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True, uplink=uplink, **kind).go(2) for kind in kinds]
    counted = [[row["comm/bytes_up"] for row in run.rows] for run in runs]
    assert counted[0] == counted[1] == counted[2]

    sent = []  # by hand, from the updates of the clients, each trained alone
    for client in COHORTS[0]:
        alone = Running(tmp_path, FedAvg(), Listed([client]), norm=True).go()
        delta = (alone.weights - alone.start.weights).abs()
        sent.append(int((delta > delta.mean()).sum()))
    assert len(set(sent)) == 2
    assert counted[0][0] == sum(16 * count + 8 * STATISTICS for count in sent)
    for run in runs:
        assert float((run.weights - runs[0].weights).abs().max()) < 1e-9
    assert "padding" not in caplog.text


@pytest.mark.parametrize(("chunk", "warns"), [(None, False), (1, False), (2, True)])
def test_padding_that_depends_on_the_chunks_is_said(
    chunk: int | None, warns: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {} if chunk is None else {"kind": VectorizedTrainer, "stack": "always", "chunk": chunk}
    Running(tmp_path, FedAvg(), Listed([3, 1, 2]), norm=True, uplink={"above": AboveThreshold(True)}, **options).go()
    assert ("so comm/bytes_up counts padding" in caplog.text) == warns


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            [torch.ones(2)] * 3,
            "delta.weights of the message is a list of 3 tensors: it needs one for each of 1 clients",
        ),
        ([1.0], "delta.weights of the message holds a float; send dense tensors"),
        (torch.ones(1, 4).to_sparse(), "delta.weights of the message holds a sparse tensor"),
        (torch.ones(4), "delta.weights of the message has shape (4,): its first axis has to be the 1 clients"),
    ],
)
def test_a_value_that_cannot_travel_is_named(value: Any, says: str, tmp_path: Path) -> None:
    class Sends(FedAvg):
        def local_update(self, client, received, state):
            return {"delta.weights": value}, state

    with pytest.raises(InputError, match=re.escape(f"local_update of Sends: {says}")):
        Running(tmp_path, Sends()).go()


def test_a_stage_keeps_its_state_with_each_client(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), uplink={"counted": Counted()}, epochs=1).go(2)
    kept = dict(enumerate(run.state.clients.get(range(4))))
    assert {c: float(s["stages"]["counted"]["sent"]) for c, s in kept.items() if s} == {0: 1, 1: 1, 2: 2, 3: 1}
