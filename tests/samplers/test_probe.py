"""Samplers that choose by loss: clients that fail or have no samples, several chunks and orders, bad candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg, FedPer
from fedlit.engines import Engine, Processes, Serial
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError
from fedlit.samplers import Probe, Sampler
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Net, Running, numbers
from tests.oracles import averaging

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
    sampler, options = Lowest([0, 1]), TRAINERS[trainer]
    run = Running(tmp_path, FedAvg(), sampler, Fails(), samples=(x, y), engine=Serial("drop"), **options).go()
    assert np.isnan(sampler.losses).tolist() == [True, True]
    assert run.rows[0]["cohort/lost"] == 2 and torch.equal(run.weights, run.start.weights)


def test_without_drop_a_failing_candidate_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ClientFailed, match="client 2, round 1: RuntimeError: no loss"):
        Running(tmp_path, FedAvg(), Lowest([FAILS, 0]), Fails(), samples=marked()).go()


@pytest.mark.parametrize("trainer", TRAINERS)
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


def test_an_algorithm_that_sends_no_model_has_no_losses_to_choose_by(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^Lowest chooses clients by the loss .*, and FedPer sends none"):
        Running(tmp_path, FedPer("head"), Lowest([0, 1])).go()
