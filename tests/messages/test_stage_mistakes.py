"""Stages that change tensors in place, and stages whose results are no rows of the clients."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.aggregators.server_step import server_step
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Reduced
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Running
from tests.slow import some_slow

D = "delta.weights"
TRAINERS: dict[str, tuple[type[Trainer], dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stacks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "stacks of two": (VectorizedTrainer, {"stack": "always", "chunk": 2}),
    "one stack": (VectorizedTrainer, {"stack": "always"}),
}


class Changes(Stage):
    """Turns updates round, and keeps what it sent; in place or not."""

    decodes = True

    def __init__(self, in_place: bool):
        self.in_place = in_place

    def encode(self, client, wire, state):
        if self.in_place:
            wire[D] *= -3.0
        else:
            wire = wire | {D: wire[D] * -3.0}
        return wire, {"sent": wire[D]}

    def decode(self, wire, sent):
        if self.in_place:
            wire[D] += 1.0
            return wire
        return wire | {D: wire[D] + 1.0}


class Keeps(Aggregator):
    """The client's state and what it sends are one tensor."""

    def client_state(self, model):
        return {"delta": model}

    def local_update(self, client, received, state):
        delta = client.fit(received["model"]).model - received["model"]
        return {"delta": delta}, {"delta": delta}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_stage_may_change_its_wire_in_place(trainer: str, tmp_path: Path) -> None:
    kind, options = TRAINERS[trainer]
    runs = [
        Running(tmp_path, Keeps(), kind=kind, norm=True, uplink={"a": Changes(p), "b": Changes(p)}, **options).go(2)
        for p in (True, False)
    ]
    in_place, plain = runs
    assert torch.equal(in_place.weights, plain.weights)
    assert in_place.rows[-1]["update/norm"] == plain.rows[-1]["update/norm"]
    for first, second in zip(*(run.state.clients.get(range(4)) for run in runs), strict=True):
        assert torch.equal(first["algorithm"]["delta"].weights, second["algorithm"]["delta"].weights)
        for name in ("a", "b"):
            assert torch.equal(first["stages"][name]["sent"], second["stages"][name]["sent"])


class InfiniteInPlace(Stage):
    decodes = True

    def decode(self, wire, sent):
        wire[D][wire[D][:, 0] == wire[D][:, 0].max()] = float("inf")
        return wire


class Median(All):
    """Hides a value that is not finite."""

    def finish(self):
        every = super().finish().message
        if not every:
            return Reduced({})
        return Reduced({"delta": Model(every["delta"].weights.median(0).values, every["delta"].statistics.mean(0))})


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_message_that_decode_makes_infinite_in_place_is_refused(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind, options = TRAINERS[trainer]
    run = Running(tmp_path, FedAvg(), kind=kind, uplink={"bad": InfiniteInPlace()}, reduction=Median(), **options).go()
    assert run.rows[0]["cohort/lost"] >= 1
    assert "NaN or infinite values in delta.weights after decode of uplink.bad" in caplog.text


class FewRows(Stage):
    """A mean over the clients of a chunk, or no row at all."""

    def __init__(self, where: str, empty: bool = False):
        self.where, self.empty = where, empty

    def reduced(self, wire):
        return {k: v[:0] if self.empty else v.mean(0, keepdim=True) for k, v in wire.items()}

    def encode(self, client, wire, state):
        return (self.reduced(wire) if self.where == "encode" else wire), state

    def decode(self, wire, sent):
        return self.reduced(wire) if self.where == "decode" else wire


class FewUnpacked(FedAvg):
    def unpack(self, message, round):
        return {"delta": message["delta"][[0]]}


STACK: dict[str, Any] = {"kind": VectorizedTrainer, "stack": "always"}


@pytest.mark.parametrize("reduction", [None, Median], ids=["mean", "median"])
@pytest.mark.parametrize("where", ["encode", "decode"])
def test_a_stage_that_returns_other_rows_than_the_clients_is_named(where: str, reduction: Any, tmp_path: Path) -> None:
    for stage in (FewRows(where), FewRows(where, empty=True)):
        run = Running(tmp_path, FedAvg(), uplink={"few": stage}, reduction=reduction and reduction(), **STACK)
        with pytest.raises(InputError, match=f"^{where} of uplink.few: delta.weights of the message has shape"):
            run.go()


def test_unpack_that_returns_other_rows_than_the_clients_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^unpack of FewUnpacked: delta.weights of the message has shape"):
        Running(tmp_path, FewUnpacked(), **STACK).go()


class Types(Stage):
    decodes = True

    def __init__(self, decoded: torch.dtype):
        self.decoded = decoded

    def encode(self, client, wire, state):
        return {key: value.half() for key, value in wire.items()}, state

    def decode(self, wire, sent):
        return {key: value.to(self.decoded) for key, value in wire.items()}


@pytest.mark.parametrize("decoded", some_slow([torch.float16, torch.float32, torch.float64], [torch.float64]))
@pytest.mark.parametrize("optimizer", [None, partial(torch.optim.SGD, lr=1.0), partial(torch.optim.Adam, lr=0.1)])
def test_the_servers_model_keeps_its_type(decoded: torch.dtype, optimizer: Any, tmp_path: Path) -> None:
    aggregator = FedAvg(server_optimizer=optimizer)
    run = Running(tmp_path, aggregator, norm=True, uplink={"types": Types(decoded)}).go(2)
    model = run.state.server["model"]
    assert model.weights.dtype == model.statistics.dtype == torch.float64
    plain = Running(tmp_path, FedAvg(server_optimizer=optimizer), norm=True).go(2)
    assert run.rows[-1]["comm/bytes_down"] == plain.rows[-1]["comm/bytes_down"]


def test_a_model_in_single_precision_stays_so(tmp_path: Path) -> None:
    model, delta = Model(torch.ones(3), torch.ones(2)), Model(torch.ones(3).double(), torch.ones(2).double())
    stepped, _ = server_step(None, model, delta, None)
    assert stepped.weights.dtype == stepped.statistics.dtype == torch.float32
    assert torch.equal(stepped.weights, torch.full((3,), 2.0))
