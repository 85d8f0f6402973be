"""Algorithms from papers, written over the contract, on `trainer=lightning`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.aggregators import FedAvg
from tests.aggregators.federations import Listed, Running, numbers
from tests.aggregators.written import Apfl, BodyOnly, FedAmp, Moon, PerFedAvg, QFedAvg, Scaffold
from tests.oracles import averaging

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
COHORTS = [[0, 2], [3, 1, 2], [1, 0]]


@pytest.mark.parametrize("cohorts", [[[0, 1, 2, 3]] * 3, COHORTS], ids=["all", "some"])
def test_scaffold_keeps_the_servers_c_at_the_clients_mean(cohorts: list[list[int]], tmp_path: Path) -> None:
    run = Running(tmp_path, Scaffold(), Listed(*cohorts))
    zero = torch.zeros_like(run.start.weights)
    for _ in cohorts:
        run.go()
        states = run.state.clients.get(range(4))  # a client that was never asked still has its zeros
        mean = torch.stack([zero if s is None else s["algorithm"]["c"] for s in states]).mean(0)
        assert float((run.state.server["c"] - mean).abs().max()) < 1e-12
        assert float(mean.abs().max()) > 1e-3


def test_the_first_round_of_scaffold_is_that_of_fedavg(tmp_path: Path) -> None:
    one, other = (Running(tmp_path, a).go() for a in (Scaffold(), FedAvg()))
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)
    assert float((one.go().weights - other.go().weights).abs().max()) > 1e-6


@pytest.mark.parametrize("accumulate", [1, 2])
def test_moon_with_mu_0_is_fedavg_under_dropout(accumulate: int, tmp_path: Path) -> None:
    options = {"dropout": 0.5, "optimizer": SGD, "accumulate_grad_batches": accumulate}
    one, other = (Running(tmp_path, a, Listed(*COHORTS), **options).go(2) for a in (Moon(0), FedAvg()))
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)
    assert float((other.weights - other.start.weights).abs().max()) > 1e-2


def test_the_contrastive_loss_of_moon_changes_the_model(tmp_path: Path) -> None:
    one, other = (Running(tmp_path, Moon(mu)).go(2).weights for mu in (0.0, 1.0))
    assert float((one - other).abs().max()) > 1e-6


def test_dropout_draws_are_the_same_in_every_run(tmp_path: Path) -> None:
    with_it, again, without = (Running(tmp_path, FedAvg(), dropout=d).go().weights for d in (0.5, 0.5, 0.0))
    assert torch.equal(with_it, again)
    assert not torch.equal(with_it, without)


def test_the_global_model_of_apfl_is_that_of_fedavg(tmp_path: Path) -> None:
    one, other = (Running(tmp_path, a, Listed(*COHORTS)).go(3) for a in (Apfl(), FedAvg()))
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)
    states = [one.client_state(c) for c in range(4)]
    assert all(float((s["v"] - one.start.weights).abs().max()) > 1e-3 for s in states)
    assert len({float(s["alpha"]) for s in states}) == 4
    assert "clients/personal/accuracy/mean" in one.rows[-1]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_positions_that_are_not_trainable_keep_their_values(accumulate: int, tmp_path: Path) -> None:
    run = Running(tmp_path, BodyOnly(), optimizer=SGD, norm=True, accumulate_grad_batches=accumulate).go(2)
    before, after = run.layout.named(run.start), run.named()
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith("head"), name


def test_qfedavg_with_q_0_is_fedavg_with_uniform_weights(tmp_path: Path) -> None:
    options = {"sampler": Listed(*COHORTS)}
    one, other = (Running(tmp_path, a, **options).go(3) for a in (QFedAvg(0), FedAvg(weighting="uniform")))
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)


def test_qfedavg_weighs_by_the_loss_of_what_was_received(tmp_path: Path) -> None:
    run = Running(tmp_path, QFedAvg(1))
    start, (x, y), orders = run.layout.named(run.start), numbers(), run.orders(1, range(4))
    over = {n: torch.zeros_like(t) for n, t in start.items()}
    under = 0.0
    for batches in orders.values():
        part = sorted({i for b in batches for i in b})
        loss = float(averaging.loss_of(start, x[part], y[part]))
        w = averaging.train(start, x, y, batches, lr=0.1)
        gap = {n: (w[n] - start[n]) / 0.1 for n in w}
        over = {n: over[n] + loss * gap[n] for n in w}
        under += sum(float(g.square().sum()) for g in gap.values()) + loss / 0.1
    after = run.go().named()
    for name, value in start.items():
        torch.testing.assert_close(after[name], value + over[name] / under, rtol=0, atol=1e-9)


def test_fedamp_gets_every_message_and_sends_each_client_its_own(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAmp(), Listed([2, 0], [3, 2])).go(2)
    models, clouds = run.state.server["models"].weights, run.state.server["clouds"].weights
    assert torch.equal(models[1], run.start.weights)
    for c in (0, 2, 3):
        assert torch.equal(models[c], run.client_state(c)["w"].weights)
    for i in range(4):
        near = [0.5 * float(torch.exp(-(models[i] - models[j]).square().sum())) / 4 if j != i else 0 for j in range(4)]
        cloud = sum(n * models[j] for j, n in enumerate(near)) + (1 - sum(near)) * models[i]
        torch.testing.assert_close(clouds[i], cloud, rtol=0, atol=1e-9)
    assert len({m.sum().item() for m in models}) == 4
    vector = run.start.weights.numel() * 8
    assert [(r["comm/bytes_down"], r["comm/bytes_up"]) for r in run.rows] == [(2 * vector, 2 * vector)] * 2


def test_per_fedavg_differentiates_through_its_step(tmp_path: Path) -> None:
    """One full-batch step of one client: the slope of f2(w - a f1'(w)), by finite differences."""
    run = Running(tmp_path, PerFedAvg(second_order=True), Listed([0]), batch_size=99, epochs=1)
    (order,) = run.orders(1, [0])[0]
    start, (x, y) = run.layout.named(run.start), numbers()
    even, odd = order[0::2], order[1::2]

    def ahead(w: averaging.Weights) -> float:
        slope = averaging.gradient(w, x[even], y[even])
        return float(averaging.loss_of({n: w[n] - 0.1 * slope[n] for n in w}, x[odd], y[odd]))

    def nudged(by: float) -> averaging.Weights:
        return {n: t + (by if n == "head.weight" else 0) * direction for n, t in start.items()}

    direction = torch.tensor(1.0, dtype=torch.float64)
    expected = (ahead(nudged(1e-5)) - ahead(nudged(-1e-5))) / 2e-5
    moved = (start["head.weight"] - run.go().named()["head.weight"]) / 0.1
    assert float(moved.sum()) == pytest.approx(expected, abs=1e-7)


def test_first_order_per_fedavg_differs_from_second_order(tmp_path: Path) -> None:
    second, first = (Running(tmp_path, PerFedAvg(order)).go(2) for order in (True, False))
    assert 1e-6 < float((second.weights - first.weights).abs().max()) < 0.5
    assert "clients/personal/loss/worst" in second.rows[-1]


def test_training_personal_models_changes_no_bit_of_the_federation(tmp_path: Path) -> None:
    class Plain(FedAvg):
        def personal(self, client, received, state):
            return client.fit(received["model"], epochs=1).model

    options = {"norm": True, "dropout": 0.5}
    one, other = (Running(tmp_path, a, **options).go(2) for a in (Plain(), FedAvg()))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.state.counters["norm.num_batches_tracked"], other.state.counters["norm.num_batches_tracked"])
