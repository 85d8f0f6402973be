"""What algorithms rely on, on `trainer=lightning`: the parts of the contract under dropout, norms and split batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedAvg, FedBABU, Moon, PerFedAvg
from tests.aggregators.federations import Listed, Running, numbers
from tests.oracles import averaging

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
COHORTS = [[0, 2], [3, 1, 2], [1, 0]]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_moon_with_mu_0_is_fedavg_under_dropout(accumulate: int, tmp_path: Path) -> None:
    options = {"dropout": 0.5, "optimizer": SGD, "accumulate_grad_batches": accumulate}
    one, other = (Running(tmp_path, a, Listed(*COHORTS), **options).go(2) for a in (Moon(mu=0), FedAvg()))
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)
    assert float((other.weights - other.start.weights).abs().max()) > 1e-2


def test_dropout_draws_are_the_same_in_every_run(tmp_path: Path) -> None:
    with_it, again, without = (Running(tmp_path, FedAvg(), dropout=d).go().weights for d in (0.5, 0.5, 0.0))
    assert torch.equal(with_it, again)
    assert not torch.equal(with_it, without)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_positions_that_are_not_trainable_keep_their_values(accumulate: int, tmp_path: Path) -> None:
    run = Running(tmp_path, FedBABU(head="head"), optimizer=SGD, norm=True, accumulate_grad_batches=accumulate).go(2)
    before, after = run.layout.named(run.start), run.named()
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith("head"), name


def test_per_fedavg_differentiates_through_its_step(tmp_path: Path) -> None:
    """One step on two samples, which are all three parts: the slope of f(w - a f'(w)), by finite differences."""
    options: dict[str, Any] = {"batch_size": 99, "epochs": 1, "sizes": (2, 4, 9, 6)}
    run = Running(tmp_path, PerFedAvg(alpha=0.3), Listed([0]), **options)
    start, (x, y) = run.layout.named(run.start), numbers()

    def ahead(by: float) -> float:
        w = {n: t + (by if n == "body.weight" else 0) for n, t in start.items()}
        slope = averaging.gradient(w, x[:2], y[:2])
        return float(averaging.loss_of({n: w[n] - 0.3 * slope[n] for n in w}, x[:2], y[:2]))

    expected = (ahead(1e-5) - ahead(-1e-5)) / 2e-5
    moved = (start["body.weight"] - run.go().named()["body.weight"]) / 0.1
    assert float(moved.sum()) == pytest.approx(expected, abs=1e-7) and abs(expected) > 1e-3


def test_training_personal_models_changes_no_bit_of_the_federation(tmp_path: Path) -> None:
    class Plain(FedAvg):
        def personal(self, client, received, state):
            return client.fit(received["model"], epochs=1).model

    options = {"norm": True, "dropout": 0.5}
    one, other = (Running(tmp_path, a, **options).go(2) for a in (Plain(), FedAvg()))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.state.counters["norm.num_batches_tracked"], other.state.counters["norm.num_batches_tracked"])
