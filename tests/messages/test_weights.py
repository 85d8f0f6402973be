"""Means by weights that the messages carry, against sums by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.messages.composition import chosen_reduction, run_weighting
from fedlit.messages.reductions import All, Mean, Reduced
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model
from fedlit.samplers import Poisson
from fedlit.server_round import ServerRound
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Listed, Running

ROUND = ServerRound(1, 0, [4, 2, 7], 9)
VALUES = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]], dtype=torch.float64)


def mean(weighting: dict[str, str], wire: Wire, *chunks: int) -> dict[str, Any]:
    """Of three clients, in chunks of these sizes."""
    collector = Mean().start(weighting, ROUND)
    for rows in torch.arange(3).split(list(chunks or [3])):
        collector.add(rows.tolist(), {k: v[rows] for k, v in wire.items()}, torch.ones(len(rows), 1).double())
    return collector.finish().message


@pytest.mark.parametrize("chunks", [(3,), (2, 1), (1, 1, 1)])
def test_a_number_a_client_weighs_all_that_a_model_holds(chunks: tuple[int, ...]) -> None:
    w = torch.tensor([[0.5], [0.0], [1.5]])  # of another type than the values
    wire = {"delta.weights": VALUES, "delta.statistics": -VALUES[:, :1], "w": w, "c": VALUES[:, :1]}
    reduced = mean({"delta": "w"}, wire, *chunks)
    assert reduced["delta"].weights.tolist() == [(0.5 * 1 + 1.5 * 4) / 2, (0.5 * 10 + 1.5 * 40) / 2]
    assert reduced["delta"].statistics.tolist() == [-(0.5 * 1 + 1.5 * 4) / 2]
    assert reduced["w"].tolist() == [2.0]
    assert float(reduced["c"]) == pytest.approx(7 / 3)  # by examples, which are equal here


@pytest.mark.parametrize("chunks", [(3,), (1, 2)])
def test_a_weight_for_each_of_several_models(chunks: tuple[int, ...]) -> None:
    """Two clusters; the last client belongs to the first, and nobody to a third."""
    models = torch.stack([VALUES, 3 * VALUES, 5 * VALUES], 1)  # (K, C, P)
    w = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0]], dtype=torch.float64)[:, :, None]
    wire = {"delta.weights": models, "delta.statistics": models[:, :, :0], "w": w}
    reduced = mean({"delta": "w"}, wire, *chunks)
    assert reduced["delta"].weights.tolist() == [[(1 + 3 * 4) / 4, (10 + 3 * 40) / 4], [6.0, 60.0], [0.0, 0.0]]
    assert reduced["delta"].statistics.shape == (3, 0)
    assert reduced["w"].tolist() == [[4.0], [1.0], [0.0]]


def test_a_model_of_weights_weighs_a_model_element_by_element() -> None:
    mask = torch.tensor([[True, False], [True, True], [False, True]])
    wire = {"delta.weights": VALUES, "delta.statistics": VALUES[:, :1]}
    wire |= {"w.weights": mask, "w.statistics": mask[:, :1].double()}
    reduced = mean({"delta": "w"}, wire, 2, 1)
    assert reduced["delta"].weights.tolist() == [1.5, 30.0] and reduced["delta"].statistics.tolist() == [1.5]
    assert reduced["w"].weights.tolist() == [2, 2] and reduced["w"].statistics.tolist() == [2.0]


def test_entries_of_a_dict_are_named_by_their_paths() -> None:
    w = torch.tensor([[3.0], [1.0], [0.0]], dtype=torch.float64)
    wire = {"parts.a": VALUES, "parts.b": VALUES, "parts.w": w}
    for weighting, b in (({"parts": "parts.w"}, 1.25), ({"parts.a": "parts.w"}, 7 / 3)):
        reduced = mean(weighting, wire)
        assert reduced["parts.a"].tolist() == [1.25, 12.5] and float(reduced["parts.b"][0]) == pytest.approx(b)
        assert reduced["parts.w"].tolist() == [4.0]


def test_no_weight_is_rounded_to_zero_and_whole_numbers_are_weighed() -> None:
    wire = {"a": VALUES.half(), "n": VALUES.long(), "w": torch.tensor([[1e-50], [0.0], [3e-50]], dtype=torch.float64)}
    reduced = mean({"a": "w", "n": "w"}, wire)
    assert reduced["a"].dtype == torch.float16 and reduced["a"].tolist() == [3.25, 32.5]
    assert reduced["n"].tolist() == [3.25, 32.5] and reduced["w"].tolist() == [4e-50]
    halves = {"a": VALUES, "w": torch.full((3, 1), 40000.0).half()}  # their sum is no number of 16 bits
    reduced = mean({"a": "w"}, halves)
    assert float(reduced["w"]) == 120_000 and float(reduced["a"][0]) == pytest.approx(7 / 3)


class Clipped(Stage):
    uniform: ClassVar[bool] = True


class OwnMean(All):
    def finish(self) -> Reduced:
        return Reduced({key: value.mean(0) for key, value in super().finish().message.items()})


class Weighed(FedAvg):
    """Weighs by the square of the number of samples, but not at all the clients of `without`."""

    def __init__(self, without: tuple[int, ...] = ()):
        super().__init__()
        self.without, self.weighting, self.sums = without, {"delta": "w"}, []

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        counted = torch.ones_like(client.examples)
        for number in self.without:
            counted = counted * (client.number != number)
        return {**message, "w": counted * client.examples**2}, state

    def server_update(self, server, reduced, round):
        self.sums.append(reduced["w"].tolist())
        return super().server_update(server, reduced, round)


@pytest.mark.parametrize(
    ("uplink", "reduction", "sentence"),
    [
        ({"clip": Clipped()}, None, "^Weighed weighs delta by w of each message, and uplink.clip needs all clients to"),
        (
            {},
            OwnMean(),
            "^Weighed weighs messages by a part of them .*, and OwnMean has no such weights; write reduction",
        ),
    ],
)
def test_what_gives_no_such_mean_is_refused(uplink: Any, reduction: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        chosen_reduction(Weighed(), uplink, reduction)
        run_weighting(Weighed(), uplink)


STACKS: list[dict[str, Any]] = [{}, {"kind": VectorizedTrainer}, {"kind": VectorizedTrainer, "chunk": 3}]


@pytest.mark.parametrize("options", STACKS, ids=["lightning", "stack", "chunks"])
def test_a_run_weighs_by_what_the_clients_send(options: dict[str, Any], tmp_path: Path) -> None:
    run = Running(tmp_path, Weighed(without=(2,)), **options).go()
    deltas = {
        c: Running(tmp_path, FedAvg(), Listed([c]), **options).go().weights - run.start.weights for c in (0, 1, 3)
    }
    expected: Tensor = sum(SIZES[c] ** 2 * delta for c, delta in deltas.items())  # type: ignore[assignment]
    total = sum(SIZES[c] ** 2 for c in deltas)
    assert float((run.weights - run.start.weights - expected / total).abs().max()) < 1e-12
    assert run.federation.aggregator.sums == [[total]]


def test_without_any_weight_the_model_stays_as_it_is(tmp_path: Path) -> None:
    run = Running(tmp_path, Weighed(without=(0, 1, 2, 3))).go()
    assert torch.equal(run.weights, run.start.weights) and run.federation.aggregator.sums == [[0.0]]


def test_a_round_that_asks_nobody_has_no_weight(tmp_path: Path) -> None:
    run = Running(tmp_path, Weighed(), Poisson(1e-9)).go()
    assert torch.equal(run.weights, run.start.weights) and run.federation.aggregator.sums == [[0.0]]


class Clusters(FedAvg):
    """Two models on the server; a client trains the one of its parity, and the message holds zeros for the other."""

    weighting: ClassVar[dict[str, str]] = {"delta": "w"}  # type: ignore[misc]

    def __init__(self):
        self.server_optimizer = None

    def server_state(self, model, rng):
        return {"model": Model(*(torch.stack([t, t]) for t in (model.weights, model.statistics)))}

    def broadcast(self, server):
        return {"models": server["model"]}

    def local_update(self, client, received, state):
        w = (client.number % 2 == torch.arange(2))[:, :, None].double()
        first = received["models"][:, 0]  # both models begin with the same numbers
        delta = client.fit(first).model - first
        delta = Model(w * delta.weights[:, None], w * delta.statistics[:, None])
        return {"delta": delta, "w": w * client.examples[:, None]}, state

    def global_model(self, server):
        return None


def test_each_of_several_models_is_the_mean_of_its_own_clients(tmp_path: Path) -> None:
    run = Running(tmp_path, Clusters()).go()
    for parity, cohort in enumerate(([0, 2], [1, 3])):
        alone = Running(tmp_path, FedAvg(), Listed(cohort)).go()
        assert float((run.weights[parity] - alone.weights).abs().max()) < 1e-12
    assert run.rows[0]["update/norm"] > 0


class Turning(FedAvg):
    """Its weights are right until its last round."""

    weighting: ClassVar[dict[str, str]] = {"delta": "w"}  # type: ignore[misc]

    def __init__(self, unpacked: bool):
        super().__init__()
        self.weighting, self.unpacked = {"delta": "w"}, unpacked

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return message if self.unpacked else self.weighed(message, client.round), state

    def unpack(self, message, round):
        return self.weighed(message, round) if self.unpacked else message

    def weighed(self, message, round):
        ones = torch.ones_like(message["delta"].weights[:, :1])
        return {**message, "w": -ones if round.number == 2 else ones}


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_negative_weight_ends_the_run_in_its_round(unpacked: bool, tmp_path: Path) -> None:
    run = Running(tmp_path, Turning(unpacked)).go()
    with pytest.raises(
        InputError, match="^Turning: w of the message is negative for a client, and it weighs delta.weights"
    ):
        run.go()
    assert run.state.round == 1


class Blind(Mean):
    blind: ClassVar[bool] = True


def test_under_a_blind_reduction_clients_unpack_with_what_they_know_of_the_round(tmp_path: Path) -> None:
    class Numbered(Weighed):
        def unpack(self, message, round):
            return {**message, "w": message["w"] * round.number}

    blind, plain = (Running(tmp_path, Numbered(), reduction=reduction).go() for reduction in (Blind(), None))
    assert torch.equal(blind.weights, plain.weights)
    assert blind.federation.aggregator.sums == [[sum(n**2 for n in SIZES)]]


def test_what_only_the_server_knows_is_refused_under_a_blind_reduction(tmp_path: Path) -> None:
    class Reading(Weighed):
        def unpack(self, message, round):
            return {"delta": message["delta"] * len(round.broadcast), "w": message["w"]}

    Running(tmp_path, Reading()).go()
    with pytest.raises(
        InputError, match="^unpack of Reading reads round.broadcast, which only the server knows, and under"
    ):
        Running(tmp_path, Reading(), reduction=Blind()).go()


def test_a_negative_weight_is_refused_where_the_server_sees_sums_only(tmp_path: Path) -> None:
    run = Running(tmp_path, Turning(unpacked=False), reduction=Blind()).go()
    with pytest.raises(InputError, match="^Turning: w of the message is negative"):
        run.go()
