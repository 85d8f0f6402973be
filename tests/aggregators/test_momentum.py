"""Algorithms that divide by what the steps applied, with momentum and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import Aggregator, QFedAvg, Scaffold
from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running
from tests.slow import some_slow
from tests.small_runs import go, small

COHORTS = [[0, 2], [3, 1, 2], [1, 0]]


class Rates:
    """A client whose fits have the sum of the learning rates as their gain."""

    def __init__(self, client: Any):
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def fit(self, *args: Any, **options: Any) -> Any:
        fitted = self.client.fit(*args, **options)
        fitted.compute_gain = lambda: fitted.lr
        return fitted


class ScaffoldByRates(Scaffold):
    def local_update(self, client, received, state):
        return super().local_update(Rates(client), received, state)


class QFedAvgByRates(QFedAvg):
    def local_update(self, client, received, state):
        return super().local_update(Rates(client), received, state)


@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
@pytest.mark.parametrize(("by_gain", "by_rates"), [(Scaffold, ScaffoldByRates), (QFedAvg, QFedAvgByRates)])
def test_without_momentum_the_bits_are_those_of_a_division_by_the_rates(
    by_gain: Callable[[], Aggregator], by_rates: Callable[[], Aggregator], kind: Any, tmp_path: Path
) -> None:
    weights = {}
    for momentum in (0.0, 0.9):
        optimizer = {"lr": 0.1, "momentum": momentum}
        runs = [
            Running(tmp_path, make(), Listed(*COHORTS), optimizer=optimizer, kind=kind) for make in (by_gain, by_rates)
        ]
        weights[momentum] = [run.go(3).weights for run in runs]
    assert torch.equal(*weights[0.0]) and not torch.equal(*weights[0.9])


@pytest.mark.parametrize(
    "partition, trainer",
    some_slow([("iid", "vectorized"), ("shards", "vectorized"), ("iid", "lightning")], [("shards", "vectorized")]),
)
def test_scaffold_with_momentum_learns_digits_as_fedavg_does(partition: str, trainer: str, tmp_path: Path) -> None:
    """A division by the sum of the learning rates makes the loss grow."""
    changes = {"clients": 8, "rounds": 8, "participation": 1.0, "optimizer.momentum": 0.9}
    losses = {}
    for name, algorithm in {"fedavg": None, "scaffold": Scaffold, "by rates": ScaffoldByRates}.items():
        config = small(["data=digits", f"partition={partition}", f"trainer={trainer}", "logger=none"], changes)
        if algorithm is not None:
            config.aggregator = {"_target_": f"{algorithm.__module__}.{algorithm.__name__}"}
        if name == "by rates" and (trainer, partition) != ("vectorized", "iid"):
            continue
        try:
            losses[name] = go(config, tmp_path / name)[-1]["global/test/loss"]
        except InputError:  # its numbers overflow
            losses[name] = float("inf")
    assert losses["scaffold"] < 1.2 * losses["fedavg"] + 0.05, losses
    assert "by rates" not in losses or losses["by rates"] > 3 * losses["fedavg"], losses
