"""FLamby's published accuracies of Fed-Heart-Disease, to the printed digit.

owkin/FLamby, flamby/results/results_benchmark_fed_heart_disease, at commit a422b61 (seeds 43 and 44: f553c7a).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flamby.flamby_order import ROUNDS, UPDATES, accuracies
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


@pytest.mark.slow
@pytest.mark.parametrize(("method", "seed"), CASES)
def test_accuracies_are_the_published_ones(method: str, seed: int, data_root: Path, in_folder: Path) -> None:
    published, options = METHODS[method]
    words = [
        *("data._target_=tests.flamby.flamby_order.hearts", f"data.root={data_root}", "partition=natural"),
        *("model._target_=tests.flamby.flamby_order.FlambyBaseline", f"model.seed={seed}", f"model.root={data_root}"),
        *("clients=4", f"rounds={ROUNDS}", f"local_updates={UPDATES}", "batch_size=4", f"aggregator={method}"),
        *(
            "trainer=vectorized",
            "trainer.stack=always",
            "threads=1",
            "device=cpu",
            "progress=none",
            "logger=none",
            "evaluation.every=15",
            "hydra.run.dir=run",
        ),
        *options.split(),
    ]
    assert command(*words) == 0
    expected = published[SEEDS.index(seed)]
    weights, _ = saved(in_folder / "run", ROUNDS)["server"]["model"]["__model__"]
    assert accuracies(weights, data_root) == pytest.approx(expected, abs=5e-7)
    assert rows(in_folder / "run")[-1]["global/test/accuracy"] == pytest.approx(expected[0], abs=5e-7)
