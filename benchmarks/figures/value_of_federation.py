"""The value of federation: alone, federated, and on pooled data, as one table.

python -m fedlit.run -m experiment=value_of_federation aggregator=local,fedavg,centralized partition.alpha=0.1,1
python -m benchmarks.figures.value_of_federation multirun/<date>/<time>
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.figures.setting import Case, Setting
from benchmarks.table import markdown

ALPHAS = (0.05, 0.1, 0.5, 5)
AGGREGATORS = ("local", "fedavg", "centralized")
DATA = {
    "digits": (),
    "fashion_mnist": ("data=fashion_mnist", "data.download=true", "server_samples=50000", "model=two_nn"),
}
USED = "clients/used/accuracy/weighted"


def _case(data: str, alpha: float, aggregator: str) -> str:
    return f"{data}_{aggregator}_{str(alpha).replace('.', '')}"


SETTING = Setting(
    title="The value of federation: better than alone, close to pooled data",
    claim="The lecture's criterion; it has no figures.",
    notes="Each model gets 1,000 optimiser steps of batches of 32: a client alone, a client of the federation, and the "
    "model on pooled data. Fashion-MNIST: 10,000 training images. Accuracy of the model that a client would use, on "
    "the clients' test samples together. Federation meets the criterion where clients have similar data. Under strong "
    "skew a client alone has few classes to tell apart, and one model for all clients is no match for that.",
    overrides=("experiment=value_of_federation", "evaluation.every=50", "trainer=vectorized"),
    cases={
        _case(data, alpha, aggregator): Case((*own, f"partition.alpha={alpha}", f"aggregator={aggregator}"))
        for (data, own), alpha, aggregator in product(DATA.items(), ALPHAS, AGGREGATORS)
    },
    measures={"accuracy": USED},
    reached="alone / FedAvg / pooled, Fashion-MNIST: alpha 5 {fashion_mnist_local_5[accuracy]:.1f} / "
    "{fashion_mnist_fedavg_5[accuracy]:.1f} / {fashion_mnist_centralized_5[accuracy]:.1f}, alpha 0.1 "
    "{fashion_mnist_local_01[accuracy]:.1f} / {fashion_mnist_fedavg_01[accuracy]:.1f} / "
    "{fashion_mnist_centralized_01[accuracy]:.1f}",
    paper="federated above alone, near pooled",
    labels={
        _case(data, alpha, aggregator): f"{data}, alpha {alpha:g}, {aggregator}"
        for data, alpha, aggregator in product(DATA, ALPHAS, AGGREGATORS)
    },
)


def value_table(runs: Sequence[Path]) -> str:
    """A row for each alpha and a column for each aggregator: mean accuracy over the seeds, in percent."""
    accuracies: dict[tuple[float, str], list[float]] = {}
    for run in runs:
        choices = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra.runtime.choices
        alpha = OmegaConf.load(run / ".hydra" / "config.yaml").partition.alpha
        last = json.loads((run / "summary.json").read_text(encoding="utf-8"))["last"]
        accuracies.setdefault((alpha, choices.aggregator), []).append(100 * last[USED])
    alphas = sorted({alpha for alpha, _ in accuracies})
    names = sorted({name for _, name in accuracies}, key=lambda name: (name != "local", name == "centralized", name))
    rows = []
    for alpha in alphas:
        cells = [accuracies.get((alpha, name)) for name in names]
        rows.append([f"{alpha:g}", *(f"{statistics.fmean(cell):.1f}" if cell else "" for cell in cells)])
    return markdown(["alpha", *names], rows)


if __name__ == "__main__":
    print(value_table([file.parent for folder in sys.argv[1:] for file in sorted(Path(folder).rglob("summary.json"))]))
