"""What the server and the clients keep from round to round: SCAFFOLD, FedDyn, q-FedAvg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import Aggregator, FedAvg, FedDyn, QFedAvg, Scaffold
from tests.aggregators.federations import Listed, Running
from tests.small_runs import composed, go, small

COHORTS = [[0, 2], [3, 1, 2], [1, 0]]
MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


def mean_of_all(run: Running, name: str) -> Tensor:
    """The mean over all clients of what they keep; a client that was never asked still has its zeros."""
    zero = torch.zeros_like(run.start.weights)
    states = run.state.clients.get(range(4))
    return torch.stack([zero if state is None else state["algorithm"][name] for state in states]).mean(0)


@pytest.mark.parametrize(
    ("aggregator", "of_server", "of_clients"),
    [(Scaffold("I"), "c", "c"), (Scaffold("II"), "c", "c"), (FedDyn(0.3), "h", "g")],
    ids=["scaffold I", "scaffold II", "feddyn"],
)
def test_what_the_server_keeps_is_the_mean_of_what_the_clients_keep(
    aggregator: Aggregator, of_server: str, of_clients: str, tmp_path: Path
) -> None:
    run = Running(tmp_path, aggregator, Listed(*COHORTS), optimizer=MOMENTUM)
    for _ in COHORTS:
        run.go()
        mean = mean_of_all(run, of_clients)
        assert float((run.state.server[of_server] - mean).abs().max()) < 1e-12
        assert float(mean.abs().max()) > 1e-3


def test_for_small_alpha_feddyn_is_fedavg_with_a_server_that_adds_all_changes_so_far(tmp_path: Path) -> None:
    """h / alpha does not depend on alpha: x + d_t + sum_{s <= t} |P_s| / m d_s, with FedAvg's mean change d_t of x."""
    run = Running(tmp_path, FedDyn(1e-9), Listed(*COHORTS), optimizer=MOMENTUM)
    plain = Running(tmp_path, FedAvg(weighting="uniform"), Listed(*COHORTS), optimizer=MOMENTUM)
    x, added = run.start.weights, torch.zeros_like(run.start.weights)
    for cohort in COHORTS:
        plain.state.server = {"model": type(run.start)(x, run.start.statistics)}
        change = plain.go().weights - x
        added = added + len(cohort) / 4 * change
        x = x + change + added
        torch.testing.assert_close(run.go().weights, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("aggregator", [FedDyn(0.3), QFedAvg(1.0)], ids=str)
def test_a_round_without_clients_changes_nothing_where_a_mean_of_none_would(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    run = Running(tmp_path, aggregator, Listed([0, 2], [], [3]), norm=True)
    before = run.go().state.server
    after = run.go().state.server
    assert before.keys() == after.keys()
    assert torch.equal(before["model"].weights, after["model"].weights)
    assert torch.equal(before["model"].statistics, after["model"].statistics)
    assert not torch.equal(run.go().weights, before["model"].weights)


@pytest.mark.slow
@pytest.mark.parametrize("partition", ["shards", "dirichlet"])
def test_scaffold_with_momentum_is_not_above_fedavg_after_30_rounds(partition: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"clients": 10, "rounds": 30, "participation": 0.5, "optimizer.momentum": 0.9}
    losses = {}
    for aggregator in ("fedavg", "scaffold"):
        words = [f"aggregator={aggregator}", f"partition={partition}", "trainer=vectorized"]
        config = small(words, {**changes, "logger": composed("logger=none").config.logger, "optimizer.lr": 0.02})
        config.aggregator.weighting = "uniform"
        losses[aggregator] = go(config, tmp_path / aggregator)[-1]["global/test/loss"]
    assert losses["scaffold"] <= losses["fedavg"], losses
