"""FedAvg: the server's optimiser, and the limit of one step a client."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fedlit.aggregators import FedAvg
from tests.aggregators.federations import SIZES, Listed, Running, numbers
from tests.oracles import averaging

COHORTS = [[0, 2], [3, 1, 2], [1, 0]]


def apart(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max()) for n in ours)


def test_server_sgd_with_lr_1_is_no_server_optimizer_to_the_bit(tmp_path: Path) -> None:
    sgd = FedAvg(server_optimizer=partial(torch.optim.SGD, lr=1.0))
    one, other = (Running(tmp_path, a, Listed(*COHORTS), norm=True).go(3) for a in (FedAvg(), sgd))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.state.server["model"].statistics, other.state.server["model"].statistics)


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
