"""FedAvg and FedProx against plain torch, and their limits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg, FedProx
from tests.aggregators.federations import SIZES, Listed, Running, numbers
from tests.oracles import averaging

COHORTS = [[0, 2], [3, 1, 2], [1, 0]]
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


def apart(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max()) for n in ours)


@pytest.mark.parametrize(("aggregator", "mu"), [(FedAvg(), 0.0), (FedProx(mu=0.5), 0.5)], ids=str)
def test_three_rounds_of_partial_participation_are_those_of_plain_torch(aggregator, mu: float, tmp_path: Path) -> None:
    run = Running(tmp_path, aggregator, Listed(*COHORTS), optimizer=SGD)
    start = run.layout.named(run.start)
    orders = [run.orders(number, cohort) for number, cohort in enumerate(COHORTS, 1)]
    expected = averaging.average(start, *numbers(), orders, lr=0.1, momentum=0.9, decay=0.01, mu=mu)
    run.go(3)
    assert apart(run.named(), expected) < 1e-9
    assert apart(run.named(), start) > 1e-2


def test_fedavg_differs_from_the_oracle_with_a_proximal_term(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), optimizer=SGD)
    orders = [run.orders(number, cohort) for number, cohort in enumerate(COHORTS, 1)]
    drawn = averaging.average(run.layout.named(run.start), *numbers(), orders, lr=0.1, momentum=0.9, decay=0.01, mu=0.5)
    assert apart(run.go(3).named(), drawn) > 1e-3


def test_uniform_weighting_is_the_plain_mean(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(weighting="uniform"))
    start, orders = run.layout.named(run.start), run.orders(1, range(4))
    models = [averaging.train(start, *numbers(), orders[c], lr=0.1) for c in range(4)]
    expected = {n: torch.stack([m[n] for m in models]).mean(0) for n in start}
    assert apart(run.go().named(), expected) < 1e-9


def test_fedprox_with_mu_0_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    one, other = (Running(tmp_path, a, Listed(*COHORTS), optimizer=SGD).go(3) for a in (FedAvg(), FedProx(mu=0)))
    assert torch.equal(one.weights, other.weights)


def test_server_sgd_with_lr_1_is_no_server_optimizer_to_the_bit(tmp_path: Path) -> None:
    sgd = FedAvg(server_optimizer=partial(torch.optim.SGD, lr=1.0))
    one, other = (Running(tmp_path, a, Listed(*COHORTS), norm=True).go(3) for a in (FedAvg(), sgd))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.state.server["model"].statistics, other.state.server["model"].statistics)


def test_server_momentum_goes_on_from_round_to_round(tmp_path: Path) -> None:
    """FedAvgM by hand: m = 0.9 m + delta, x = x + m; the deltas are those of plain training from each round's x."""
    run = Running(tmp_path, FedAvg(server_optimizer=partial(torch.optim.SGD, lr=1.0, momentum=0.9)))
    x, m = run.layout.named(run.start), None
    for number in (1, 2, 3):
        y = averaging.average(x, *numbers(), [run.orders(number, range(4))], lr=0.1)
        m = {n: y[n] - x[n] + (0.9 * m[n] if m else 0) for n in x}
        x = {n: x[n] + m[n] for n in x}
    assert apart(run.go(3).named(), x) < 1e-9


def test_one_full_batch_step_is_gradient_averaging(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed([3, 0]), batch_size=max(SIZES), epochs=1)
    start, (x, y) = run.layout.named(run.start), numbers()
    theirs = [*range(SIZES[0]), *range(sum(SIZES[:3]), sum(SIZES))]
    slope = averaging.gradient(start, x[theirs], y[theirs])  # of all samples of the cohort together
    assert apart(run.go().named(), {n: start[n] - 0.1 * slope[n] for n in start}) < 1e-12


def test_an_adaptive_server_keeps_running_variances_positive(tmp_path: Path) -> None:
    adam = FedAvg(server_optimizer=partial(torch.optim.Adam, lr=0.5, betas=(0.9, 0.99), eps=1e-3))
    run = Running(tmp_path, adam, norm=True, scale=0.01)
    for _ in range(4):
        variance = run.go().named()["norm.running_var"]
        assert bool((variance > 0).all())
    # they fall in each round: four steps of about 0.5 from 1, and they would be negative
    assert bool((variance < 0.5).all())
    assert run.state.server["optimizer"]["step"] == 4
