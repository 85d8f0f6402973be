"""FLamby's published accuracies of Fed-Heart-Disease, to the printed digit.

owkin/FLamby, flamby/results/results_benchmark_fed_heart_disease, at commit a422b61 (seeds 43 and 44: f553c7a).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.flamby.flamby_order import EPOCHS, ROUNDS, UPDATES, accuracies
from tests.small_runs import command, rows, saved

SEEDS = (42, 43, 44, 45, 46)
# method -> for each seed the pooled test, then the tests of Cleveland, Hungary, Switzerland and Long Beach
FEDAVG = (
    (0.751969, 0.759615, 0.696629, 0.6875, 0.622222),
    (0.763780, 0.721154, 0.741573, 0.7500, 0.666667),
    (0.763780, 0.740385, 0.752809, 0.5000, 0.577778),
    (0.700787, 0.730769, 0.674157, 0.7500, 0.622222),
    (0.759843, 0.701923, 0.730337, 0.5625, 0.711111),
)
SCAFFOLD = (
    (0.751969, 0.750000, 0.696629, 0.6875, 0.622222),
    (0.763780, 0.721154, 0.741573, 0.7500, 0.666667),
    (0.763780, 0.740385, 0.752809, 0.5000, 0.577778),
    (0.700787, 0.721154, 0.674157, 0.7500, 0.622222),
    (0.759843, 0.701923, 0.730337, 0.5625, 0.711111),
)
FEDADAM = (
    (0.775591, 0.759615, 0.752809, 0.7500, 0.622222),
    (0.767717, 0.721154, 0.730337, 0.7500, 0.644444),
    (0.779528, 0.759615, 0.741573, 0.7500, 0.733333),
    (0.803150, 0.759615, 0.730337, 0.7500, 0.688889),
    (0.767717, 0.759615, 0.775281, 0.6875, 0.644444),
)
FEDYOGI = (  # FedAdagrad has the same
    (0.783465, 0.759615, 0.764045, 0.7500, 0.622222),
    (0.767717, 0.730769, 0.730337, 0.7500, 0.666667),
    (0.783465, 0.769231, 0.752809, 0.7500, 0.733333),
    (0.799213, 0.759615, 0.741573, 0.7500, 0.688889),
    (0.759843, 0.778846, 0.775281, 0.6875, 0.666667),
)
ADAPTIVE = "aggregator.beta_1=0.9 aggregator.tau=1e-8"
METHODS = {
    "fedavg": (FEDAVG, "optimizer.lr=0.001"),
    "fedprox": (FEDAVG, "optimizer.lr=0.001 aggregator.mu=0.01"),
    "scaffold": (SCAFFOLD, "optimizer.lr=0.001 aggregator.weighting=examples aggregator.c_weighting=examples"),
    "fedadam": (FEDADAM, f"optimizer.lr=0.01 aggregator.eta=0.01 aggregator.beta_2=0.999 {ADAPTIVE}"),
    "fedyogi": (FEDYOGI, f"optimizer.lr=0.003162 aggregator.eta=0.01 aggregator.beta_2=0.999 {ADAPTIVE}"),
    "fedadagrad": (FEDYOGI, f"optimizer.lr=0.003162 aggregator.eta=0.316228 {ADAPTIVE}"),
}
CASES = [(method, seed) for method in METHODS for seed in SEEDS]
POOLED = (
    (0.791339, 0.798077, 0.764045, 0.7500, 0.644444),
    (0.795276, 0.778846, 0.764045, 0.7500, 0.644444),
    (0.795276, 0.788462, 0.764045, 0.7500, 0.644444),
    (0.799213, 0.778846, 0.764045, 0.7500, 0.644444),
    (0.795276, 0.769231, 0.764045, 0.7500, 0.644444),
)
LOCAL = (  # for each seed the models of the four centres
    (
        (0.779528, 0.730769, 0.752809, 0.6875, 0.666667),
        (0.716535, 0.750000, 0.752809, 0.5000, 0.511111),
        (0.523622, 0.567308, 0.460674, 0.8125, 0.666667),
        (0.582677, 0.596154, 0.471910, 0.8750, 0.755556),
    ),
    (
        (0.775591, 0.750000, 0.764045, 0.7500, 0.666667),
        (0.728346, 0.730769, 0.741573, 0.5625, 0.488889),
        (0.511811, 0.490385, 0.382022, 0.8125, 0.755556),
        (0.586614, 0.538462, 0.449438, 0.7500, 0.688889),
    ),
    (
        (0.791339, 0.730769, 0.752809, 0.6250, 0.666667),
        (0.748031, 0.769231, 0.752809, 0.5000, 0.511111),
        (0.448819, 0.423077, 0.359551, 0.6250, 0.577778),
        (0.661417, 0.596154, 0.483146, 0.8750, 0.666667),
    ),
    (
        (0.783465, 0.750000, 0.764045, 0.8125, 0.666667),
        (0.716535, 0.740385, 0.741573, 0.6250, 0.488889),
        (0.421260, 0.471154, 0.393258, 0.8125, 0.666667),
        (0.578740, 0.548077, 0.460674, 0.6875, 0.644444),
    ),
    (
        (0.791339, 0.769231, 0.764045, 0.7500, 0.622222),
        (0.724409, 0.740385, 0.741573, 0.4375, 0.488889),
        (0.507874, 0.451923, 0.359551, 0.5625, 0.688889),
        (0.645669, 0.605769, 0.471910, 0.8125, 0.755556),
    ),
)
SETTING = (
    "data._target_=tests.flamby.flamby_order.hearts partition=natural clients=4 batch_size=4 trainer=vectorized "
    "trainer.stack=always threads=1 device=cpu progress=none logger=none hydra.run.dir=run"
)


def run(root: Path, module: str, seed: int, options: str) -> None:
    module = f"model._target_=tests.flamby.flamby_order.{module}"
    words = [f"data.root={root}", f"model.root={root}", f"model.seed={seed}", module]
    assert command(*SETTING.split(), *words, *options.split()) == 0


def assert_published(model: Any, expected: Sequence[float], root: Path) -> None:
    weights, _ = model["__model__"]
    assert accuracies(weights, root) == pytest.approx(expected, abs=5e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "seed"), CASES)
def test_accuracies_are_the_published_ones(method: str, seed: int, data_root: Path, in_folder: Path) -> None:
    published, options = METHODS[method]
    rounds = f"rounds={ROUNDS} local_updates={UPDATES} evaluation.every={ROUNDS}"
    run(data_root, "Federated", seed, f"aggregator={method} {rounds} {options}")
    expected = published[SEEDS.index(seed)]
    assert_published(saved(in_folder / "run", ROUNDS)["server"]["model"], expected, data_root)
    assert rows(in_folder / "run")[-1]["global/test/accuracy"] == pytest.approx(expected[0], abs=5e-7)


ALONE = f"rounds=1 local_epochs={EPOCHS} optimizer=adam optimizer.lr=0.001"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_accuracies_of_pooled_training_are_the_published_ones(seed: int, data_root: Path, in_folder: Path) -> None:
    run(data_root, "Alone", seed, f"aggregator=centralized model.pooled=true data.normalize=pooled {ALONE}")
    assert_published(saved(in_folder / "run", 1)["server"]["model"], POOLED[SEEDS.index(seed)], data_root)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_accuracies_of_each_centre_alone_are_the_published_ones(seed: int, data_root: Path, in_folder: Path) -> None:
    run(data_root, "Alone", seed, f"aggregator=local model.pooled=false {ALONE}")
    clients = saved(in_folder / "run", 1)["clients"]
    for centre, expected in enumerate(LOCAL[SEEDS.index(seed)]):
        assert_published(clients[centre]["algorithm"]["model"], expected, data_root)
