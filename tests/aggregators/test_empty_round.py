"""A round that asks no client: the server steps along zeros, where zeros are a message."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import Aggregator, Centralized, FedAMP, FedAvg, FedPer, Local, Scaffold
from fedlit.engines import Serial
from fedlit.messages.reductions import Mean, Reduced, Reduction
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from fedlit.samplers import Poisson
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running
from tests.slow import some_slow
from tests.small_runs import command, same_bits, saved

COHORTS = [[0, 2], [], [3, 1], []]
TRAINERS: list[tuple[type[Trainer], dict[str, Any]]] = [
    (LightningTrainer, {}),
    (VectorizedTrainer, {"stack": "always"}),
]


def heavy_ball(**options: Any) -> Any:
    return partial(torch.optim.SGD, lr=0.5, momentum=0.9, **options)


@pytest.mark.parametrize(("kind", "options"), TRAINERS)
def test_server_momentum_goes_on_in_empty_rounds(kind: type[Trainer], options: dict[str, Any], tmp_path: Path) -> None:
    """v = 0.9 v + Delta, x = x + 0.5 v (Hsu et al. 2019), with Delta = 0 in an empty round."""
    run = Running(tmp_path, FedAvg(server_optimizer=heavy_ball()), Listed(*COHORTS), kind=kind, norm=True, **options)
    x, v, statistics = run.weights, torch.zeros_like(run.weights), run.state.server["model"].statistics
    for cohort in COHORTS:
        plain = Running(tmp_path, FedAvg(), Listed(*[cohort] * 9), kind=kind, norm=True, **options)
        plain.state.server, plain.state.round = {"model": run.state.server["model"]}, run.state.round
        delta = plain.go().weights - x if cohort else torch.zeros_like(x)
        before = run.state.server["model"].statistics
        run.go()
        v = 0.9 * v + delta
        x = x + 0.5 * v
        torch.testing.assert_close(run.weights, x, rtol=0, atol=1e-12)
        if not cohort:
            assert torch.equal(run.state.server["model"].statistics, before)
    assert not torch.equal(run.state.server["model"].statistics, statistics)
    for row, cohort in zip(run.rows, COHORTS, strict=True):
        assert (row["cohort/asked"], row["cohort/arrived"], row["comm/bytes_up"]) == (
            len(cohort),
            len(cohort),
            row["comm/bytes_up"],
        )
        assert ("train/loss" in row) == ("update/norm" in row) == bool(cohort)


class Noisy(FedAvg):
    """The server adds noise in every round, as DP-FedAvg does, and says what it got."""

    def server_state(self, model, rng):
        return {"model": model, "seen": ()}

    def server_update(self, server, reduced, round):
        noise = torch.as_tensor(round.generator("noise").normal(size=len(server["model"].weights)))
        shapes = {
            key: tuple(value.weights.shape) if isinstance(value, Model) else tuple(value.shape)
            for key, value in reduced.items()
        }
        seen = (
            *server["seen"],
            (shapes, reduced["delta"].weights.dtype, float(reduced["delta"].weights.abs().max()), round.share),
        )
        model = Model(server["model"].weights + reduced["delta"].weights + noise, server["model"].statistics)
        return {"model": model, "seen": seen}


class Halves(Stage):
    """The wire has other keys than the message."""

    decodes = True

    def encode(self, client, wire, state):
        return {"half": wire["delta.weights"].half(), "delta.statistics": wire["delta.statistics"]}, {
            "sent": torch.ones_like(client.examples)
        }

    def decode(self, wire, sent):
        return {"delta.weights": wire["half"].double(), "delta.statistics": wire["delta.statistics"]}


class Blind(Mean):
    blind = True


@pytest.mark.parametrize(
    "options", [{}, {"uplink": {"halves": Halves()}}, {"reduction": Blind()}], ids=["plain", "stage", "blind"]
)
def test_server_update_gets_zeros_of_the_right_keys_shapes_and_type(options: dict[str, Any], tmp_path: Path) -> None:
    run = Running(tmp_path, Noisy(), Listed([], [1, 0], []), **options).go(3)
    empty, full, later = run.state.server["seen"]
    assert empty[:3] == later[:3] == (full[0], torch.float64, 0.0) and full[2] > 0
    assert (empty[3], full[3], later[3]) == (0.0, 0.5, 0.0)
    assert run.state.clients.get([0, 1, 2, 3])[2:] == [None, None]
    assert [row["cohort/arrived"] for row in run.rows] == [0, 2, 0]


def test_the_message_of_zeros_changes_no_bit_of_other_rounds(tmp_path: Path) -> None:
    with_empty = Running(tmp_path, FedAvg(), Listed([0, 2], [], [3, 1]), dropout=0.5, norm=True).go(3)
    without = Running(tmp_path, FedAvg(), Listed([0, 2], [], [3, 1]), dropout=0.5, norm=True)
    without.go()
    without.state.round = 2
    without.go()
    assert torch.equal(with_empty.weights, without.weights)
    assert with_empty.rows[1]["cohort/asked"] == 0
    for name, value in without.state.counters.items():
        assert torch.equal(with_empty.state.counters[name], value)


def test_scaffold_keeps_its_identity_over_empty_rounds(tmp_path: Path) -> None:
    run = Running(tmp_path, Scaffold(), Listed(*COHORTS))
    zero = torch.zeros_like(run.start.weights)
    for _ in COHORTS:
        run.go()
        states = [zero if s is None else s["algorithm"]["c"] for s in run.state.clients.get(range(4))]
        assert float((run.state.server["c"] - torch.stack(states).mean(0)).abs().max()) < 1e-12


def test_the_shared_part_of_a_model_steps_too(tmp_path: Path) -> None:
    run = Running(tmp_path, FedPer("head", server_optimizer=heavy_ball()), Listed([0, 1], [])).go()
    first, momentum = run.state.server["shared"].weights, run.state.server["optimizer"]["momentum_buffer"]
    run.go()
    torch.testing.assert_close(run.state.server["shared"].weights, first + 0.5 * 0.9 * -momentum, rtol=0, atol=1e-12)


class WholeModels(Aggregator):
    """The mean of models: a message of zeros would be a model of zeros."""

    def local_update(self, client, received, state):
        return {"model": client.fit(received["model"]).model}, state

    def server_update(self, server, reduced, round):
        return {"model": reduced["model"]}


class Last(Reduction):
    """A reduction that says nothing of rounds without clients."""

    def begin(self) -> None:
        self.wire: dict[str, Tensor] = {}

    def add(self, clients, wire, examples) -> None:
        self.wire = wire

    def finish(self) -> Reduced:
        if not self.wire:
            return Reduced({})
        return Reduced({"delta": Model(self.wire["delta.weights"][-1], self.wire["delta.statistics"][-1])})


@pytest.mark.parametrize(
    ("aggregator", "options"),
    [
        (WholeModels(), {}),
        (Local(), {}),
        (FedAMP(), {}),
        (FedAvg(server_optimizer=heavy_ball()), {"reduction": Last()}),
    ],
    ids=["whole models", "nothing is sent", "needs all", "another reduction"],
)
def test_the_server_keeps_its_state_where_zeros_are_no_message(
    aggregator: Aggregator, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Running(tmp_path, aggregator, Listed([0, 2], [], [1]), **options).go()
    before = run.state.server
    run.go()
    assert run.state.server is before
    run.go()
    assert "keeps its state" not in caplog.text


class Quotient(FedAvg):
    """The change over the mean loss: 0 / 0 without clients."""

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return {**message, "loss": client.loss(received["model"])}, state

    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"] / reduced["loss"]}


class Share(FedAvg):
    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"] * (1 / len(round.arrived))}


@pytest.mark.parametrize(
    ("aggregator", "reason"),
    [(Quotient(), "made NaN or infinite values in model.weights"), (Share(), "ZeroDivisionError: division by zero")],
    ids=["0/0", "raises"],
)
def test_an_algorithm_that_has_no_step_along_zeros_keeps_its_state_and_says_so(
    aggregator: Aggregator, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Running(tmp_path, aggregator, Listed([0, 2], [], [1])).go()
    before = run.state.server
    run.go()
    assert run.state.server is before
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("round 2 asks no client, and the server keeps its state") and reason in line
    assert not torch.equal(run.go().weights, before["model"].weights)


@pytest.mark.parametrize("aggregator", some_slow(["fedavg", "fedper", "local"], ["fedper"]))
def test_poisson_rounds_without_clients_run_and_resume_to_the_same_bits(aggregator: str, in_folder: Path) -> None:
    words = ["debug=tiny", "threads=1", "device=cpu", "logger=none", "sampler=poisson", "participation=0.2"]
    words += [f"aggregator={aggregator}", "checkpoint.keep=9"]
    if aggregator != "local":
        words += ["optimizer@aggregator.server_optimizer=adam"]
    assert command(*words, "rounds=6", "hydra.run.dir=once") == 0
    assert command(*words, "rounds=3", "hydra.run.dir=twice") == 0
    assert command("resume=twice", "rounds=6") == 0
    assert same_bits(saved(Path("once"), 6), saved(Path("twice"), 6))


def test_a_sampler_may_ask_nobody_in_every_round(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Poisson(1e-12), engine=Serial("drop")).go(2)
    assert torch.equal(run.weights, run.start.weights) and [row["cohort/asked"] for row in run.rows] == [0, 0]


def test_pooled_data_are_a_client_too(tmp_path: Path) -> None:
    run = Running(tmp_path, Centralized(), Listed([], [0])).go()
    assert torch.equal(run.weights, run.start.weights)
