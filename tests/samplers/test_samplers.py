"""Samplers choose the same clients under every algorithm, with the expected sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlit.aggregators import FedAvg, FedPer, FedProx, Local
from fedlit.errors import InputError
from fedlit.samplers import All, Poisson, Probe, Sampler, Uniform
from tests.aggregators.federations import SIZES, Running, numbers
from tests.oracles import averaging


class Watched(Sampler):
    """Records the cohorts of another sampler."""

    def __init__(self, inner: Sampler):
        self.inner, self.seen = inner, []

    def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        self.seen.append(list(self.inner(round, rng, clients, probe)))
        return self.seen[-1]

    def expected(self, clients: int) -> float:
        return self.inner.expected(clients)


class Worst(Sampler):
    """The clients with the highest losses: power-of-choice (Cho et al. 2020) with all clients as candidates."""

    def __init__(self, number: int):
        self.number = number
        self.losses: list[np.ndarray] = []

    def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        self.losses.append(probe(range(clients)))
        return np.argsort(-self.losses[-1])[: self.number].tolist()

    def expected(self, clients: int) -> float:
        return float(self.number)


def unused_probe(clients: Sequence[int]) -> np.ndarray:
    raise AssertionError("this sampler does not use losses")


def drawn(sampler: Sampler, clients: int, times: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [list(sampler(n, rng, clients, unused_probe)) for n in range(1, times + 1)]


@pytest.mark.parametrize("inner", [Uniform(0.5), Poisson(0.5)], ids=["uniform", "poisson"])
def test_every_algorithm_sees_the_same_cohorts(inner: Sampler, tmp_path: Path) -> None:
    seen = []
    for aggregator in (FedAvg(), FedProx(mu=0.5), FedPer(), Local()):
        watched = Watched(inner)
        Running(tmp_path, aggregator, watched, epochs=1).go(4)
        seen.append(watched.seen)
    assert seen.count(seen[0]) == 4
    assert len({tuple(sorted(cohort)) for cohort in seen[0]}) > 1


def test_uniform_draws_every_client_equally_often_without_replacement() -> None:
    cohorts = drawn(Uniform(0.3), 10, 2000)
    assert all(len(c) == len(set(c)) == 3 for c in cohorts)
    counts = np.bincount(np.concatenate(cohorts), minlength=10)
    assert np.abs(counts - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_uniform_asks_at_least_one_client_and_refuses_too_large_a_number() -> None:
    assert len(drawn(Uniform(0.01), 10, 1)[0]) == 1
    assert len(drawn(Uniform(number=7), 10, 1)[0]) == 7
    assert Uniform(number=7).expected(10) == 7
    with pytest.raises(
        InputError, match=r"sampler.number=11 is more than the 10 clients; write sampler.number=10 or less."
    ):
        drawn(Uniform(number=11), 10, 1)


def test_poisson_draws_each_client_independently() -> None:
    n, p, times = 50, 0.2, 4000
    cohorts = drawn(Poisson(p), n, times)
    sizes = np.array([len(c) for c in cohorts])
    assert all(len(set(c)) == len(c) for c in cohorts)
    assert Poisson(p).expected(n) == 10
    assert abs(sizes.mean() - n * p) < 5 * np.sqrt(n * p * (1 - p) / times)
    assert sizes.var() == pytest.approx(n * p * (1 - p), rel=0.15)  # binomial, not a fixed size
    together = np.mean([{0, 1} <= set(c) for c in cohorts])  # clients are independent
    assert abs(together - p * p) < 5 * np.sqrt(p * p / times)


def test_all_asks_every_client() -> None:
    assert drawn(All(), 4, 1) == [[0, 1, 2, 3]]
    assert All().expected(4) == 4


def test_an_empty_cohort_does_not_change_the_server(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Poisson(1e-9)).go()
    assert torch.equal(run.weights, run.start.weights)
    assert (run.rows[0]["cohort/asked"], run.rows[0]["comm/bytes_down"], run.state.round) == (0, 0, 1)


def test_probing_losses_does_not_change_training(tmp_path: Path) -> None:
    worst = Worst(2)
    run = Running(tmp_path, FedAvg(), worst, norm=False, dropout=0.5).go()
    start, (x, y) = run.layout.named(run.start), numbers()
    ends = np.cumsum(SIZES)
    expected = [float(averaging.loss_of(start, x[e - n : e], y[e - n : e])) for e, n in zip(ends, SIZES, strict=True)]
    np.testing.assert_allclose(worst.losses[0], expected, atol=1e-12)
    cohort = np.argsort(expected)[-2:].tolist()

    class Named(Uniform):
        def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
            return cohort

    unprobed = Running(tmp_path, FedAvg(), Named(0.5), dropout=0.5).go()
    assert torch.equal(run.weights, unprobed.weights)
