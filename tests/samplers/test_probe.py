"""Samplers that choose by loss: clients that fail or have no samples, several chunks and orders, bad candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg, FedPer, Local
from fedlit.engines import Engine, Processes, Serial
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.round import Round
from fedlit.samplers import Probe, Sampler
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Net, Running, numbers
from tests.aggregators.written import Modelless
from tests.oracles import averaging
from tests.slow import some_slow

FAILS, MARK = 2, 77.0
STACK: dict[str, Any] = {"kind": VectorizedTrainer, "stack": "always"}
TRAINERS: dict[str, dict[str, Any]] = {"lightning": {}, "one stack": STACK, "stacks of two": {**STACK, "chunk": 2}}


class Fails(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if bool((batch[0] == MARK).any()):
            raise RuntimeError("no loss")
        return super().training_step(batch, batch_idx)


class Lowest(Sampler):
    """Asks the two candidates of the lowest losses."""

    def __init__(self, candidates: Sequence[Any]):
        self.candidates, self.losses = candidates, np.empty(0)

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        self.losses = probe(self.candidates)
        return [int(self.candidates[i]) for i in np.argsort(self.losses)[:2]]

    def expected(self, clients: int) -> float:
        return 2.0


def marked() -> tuple[Tensor, Tensor]:
    x, y = numbers()
    begin = sum(SIZES[:FAILS])
    x[begin : begin + SIZES[FAILS]] = MARK
    return x, y


def expected_losses(run: Running) -> list[float]:
    start, (x, y) = run.layout.named(run.start), numbers()
    ends = np.cumsum(SIZES)
    return [float(averaging.loss_of(start, x[e - n : e], y[e - n : e])) for e, n in zip(ends, SIZES, strict=True)]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("engine", [Serial, pytest.param(Processes, marks=pytest.mark.slow)])
def test_a_client_that_fails_has_no_loss_and_the_others_keep_theirs(
    engine: Any, trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = Lowest([3, FAILS, 0, 1])
    made: Engine = engine(on_failure="drop")
    with made:
        run = Running(tmp_path, FedAvg(), sampler, Fails(), samples=marked(), engine=made, **TRAINERS[trainer]).go()
    losses = expected_losses(run)
    np.testing.assert_allclose(sampler.losses, [losses[3], np.nan, losses[0], losses[1]], atol=1e-12)
    assert run.rows[0]["cohort/arrived"] == 2 and "client 2, round 1: RuntimeError: no loss" in caplog.text


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_candidate_may_fail(trainer: str, tmp_path: Path) -> None:
    x, y = numbers()
    x[: sum(SIZES)] = MARK
    sampler, options = Lowest([0, 1]), {**TRAINERS[trainer], "falls_back": True}  # the trial of a stack fails, too
    run = Running(tmp_path, FedAvg(), sampler, Fails(), samples=(x, y), engine=Serial("drop"), **options).go()
    assert np.isnan(sampler.losses).tolist() == [True, True]
    assert run.rows[0]["cohort/lost"] == 2 and torch.equal(run.weights, run.start.weights)


def test_without_drop_a_failing_candidate_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ClientFailed, match="client 2, round 1: RuntimeError: no loss"):
        Running(tmp_path, FedAvg(), Lowest([FAILS, 0]), Fails(), samples=marked()).go()


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["one stack"]))
@pytest.mark.parametrize("candidates", [[3, 2, 1, 0], [1, 1, 3], np.array([2, 0]), []], ids=str)
def test_losses_come_in_the_order_of_the_candidates(candidates: Any, trainer: str, tmp_path: Path) -> None:
    sampler = Lowest(candidates)
    run = Running(tmp_path, FedAvg(), sampler, **TRAINERS[trainer]).go()
    expected = [expected_losses(run)[c] for c in candidates]
    np.testing.assert_allclose(sampler.losses, expected, atol=1e-12)


def test_a_client_without_samples_has_no_loss(tmp_path: Path) -> None:
    sampler = Lowest([0, 1, 2])
    Running(tmp_path, FedAvg(), sampler, sizes=(13, 0, 9, 6)).go()
    assert np.isnan(sampler.losses).tolist() == [False, True, False]


@pytest.mark.parametrize("candidates", [[4], [-1], [True, False, True, False], [0.5]])
def test_a_candidate_that_is_no_client_is_refused(candidates: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^Lowest chooses client .* of 4; return whole numbers from 0 to 3"):
        Running(tmp_path, FedAvg(), Lowest(candidates)).go()


def test_clients_without_a_model_have_no_losses_to_choose_by(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^Lowest chooses clients by the loss .*, and under Modelless they have none"):
        Running(tmp_path, Modelless(), Lowest([0, 1])).go()


class Probing(Sampler):
    """Clients 0 and 2 in the first round; then all of them are probed and client 3 is asked."""

    def __init__(self) -> None:
        self.losses = np.empty(0)

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        if round_number == 1:
            return [0, 2]
        self.losses = probe([3, 2, 1, 0])
        return [3]

    def expected(self, clients: int) -> float:
        return 1.0


def losses_of(models: dict[int, dict[str, Tensor]]) -> list[float]:
    (x, y), ends = numbers(), np.cumsum(SIZES)
    parts = {c: slice(ends[c] - SIZES[c], ends[c]) for c in models}
    return [float(averaging.loss_of(models[c], x[parts[c]], y[parts[c]])) for c in (3, 2, 1, 0)]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_without_a_global_model_the_losses_are_of_each_clients_own(trainer: str, tmp_path: Path) -> None:
    """A client that was never asked has the initial weights, under FedPer with the averaged body."""
    (x, y), sampler = numbers(), Probing()
    run = Running(tmp_path, Local(), sampler, **TRAINERS[trainer])
    start = run.layout.named(run.start)
    models = dict.fromkeys(range(4), start)
    for client, batches in run.orders(1, [0, 2]).items():
        models[client] = averaging.train(start, x, y, batches, lr=0.1)
    run.go(2)
    np.testing.assert_allclose(sampler.losses, losses_of(models), atol=1e-9)

    run = Running(tmp_path, FedPer("head"), sampler, **TRAINERS[trainer]).go(2)
    body = {n: sum(SIZES[c] * models[c][n] for c in (0, 2)) / (SIZES[0] + SIZES[2]) for n in start if "body" in n}
    mixed = {c: {n: w for n, w in models[c].items() if "head" in n} | body for c in models}
    np.testing.assert_allclose(sampler.losses, losses_of(mixed), atol=1e-9)


class Stepped(Local):
    """Its personal model is the kept one after an epoch."""

    def personal(self, client: Any, received: Any, state: Any) -> Model:
        return client.fit(state["model"], epochs=1).model


@pytest.mark.parametrize("trainer", ["lightning", "one stack"])
def test_a_personal_model_that_trains_is_trained_for_the_probe_and_thrown_away(trainer: str, tmp_path: Path) -> None:
    (x, y), sampler = numbers(), Probing()
    run = Running(tmp_path, Stepped(), sampler, **TRAINERS[trainer])
    alone = Running(tmp_path, Local(), sampler, **TRAINERS[trainer]).go(2)
    run.go(1)
    models = {}
    for job in run.federation.clients.jobs(Round(2, 0, [0, 1, 2, 3], 4, "probe")):
        [state] = run.state.clients.get([job.client])
        kept = run.layout.named(run.start if state is None else state["algorithm"]["model"])
        models[job.client] = averaging.train(kept, x, y, [b.tolist() for b in job.batches(0, 0, False)], lr=0.1)
    run.go(1)
    np.testing.assert_allclose(sampler.losses, losses_of(models), atol=1e-9)
    assert torch.equal(run.client_state(3)["model"].weights, alone.client_state(3)["model"].weights)
