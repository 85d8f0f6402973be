"""Embeddings with sparse gradients under algorithms that change gradients, against a plain loop with a dense table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.aggregators import FedAvg, FedProx
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.model_vectors import Layout
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, SIZES, TEST_SIZES, Running
from tests.slow import some_slow
from tests.training.proximal_gradient import ProximalGradient

LETTERS, MU, LR, MOMENTUM = 9, 0.4, 0.2, 0.5
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}


class Rows(pl.LightningModule):
    def __init__(self, optimizer: Any = None):
        super().__init__()
        self.rows, self.out = nn.Embedding(LETTERS, 3, sparse=True), nn.Linear(3, CLASSES)
        self.optimizer = optimizer

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rows(x).mean(1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return self.optimizer(self)


class Frozen(FedAvg):
    """Trains the embedding alone."""

    def setup(self, layout: Layout, clients: int) -> None:
        self.trainable = layout.where("rows")

    def local_update(self, client: Client, received: Any, state: Any) -> Any:
        x = received["model"]
        return {"delta": client.fit(x, trainable=self.trainable).model - x}, state


ALGORITHMS = {
    "fedprox": lambda: FedProx(MU),
    "gradient_fn": lambda: ProximalGradient(MU),
    "trainable": Frozen,
    "fedavg": FedAvg,
}


def samples() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    n = sum(SIZES) + sum(TEST_SIZES)
    return torch.tensor(rng.integers(0, LETTERS, (n, 2))), torch.tensor(rng.integers(0, CLASSES, n))


def expected(run: Running, algorithm: str, clip: float | None) -> dict[str, Tensor]:
    """One round by hand: the gradient of the table is built up row by row, as a dense matrix."""
    (x, y), start = samples(), run.layout.named(run.start)
    names = ["rows.weight"] if algorithm == "trainable" else list(start)
    mu = MU if algorithm in ("fedprox", "gradient_fn") else 0.0
    total = {n: torch.zeros_like(t) for n, t in start.items()}
    for client, batches in run.orders(1, range(4)).items():
        w, velocity = dict(start), {n: torch.zeros_like(t) for n, t in start.items()}
        for batch in batches:
            mean = w["rows.weight"][x[batch]].mean(1)
            p = torch.softmax(mean @ w["out.weight"].T + w["out.bias"], 1)
            p[torch.arange(len(batch)), y[batch]] -= 1
            p /= len(batch)
            into_rows = p @ w["out.weight"] / 2
            table = torch.zeros_like(w["rows.weight"])
            for letters, row in zip(x[batch].tolist(), into_rows, strict=True):
                for letter in letters:
                    table[letter] += row
            gradient = {"rows.weight": table, "out.weight": p.T @ mean, "out.bias": p.sum(0)}
            gradient = {n: gradient[n] + mu * (w[n] - start[n]) for n in names}
            norm = sum(g.square().sum() for g in gradient.values()) ** 0.5
            factor = min(1.0, clip / (float(norm) + 1e-6)) if clip else 1.0
            for n in names:
                velocity[n] = MOMENTUM * velocity[n] + factor * gradient[n]
                w[n] = w[n] - LR * velocity[n]
        for n in start:
            total[n] += SIZES[client] * w[n] / sum(SIZES)
    return total


CASES = [(k, a, c) for k in KINDS for a in ALGORITHMS for c in (None, 0.1)]


@pytest.mark.parametrize(
    ("kind", "algorithm", "clip"),
    some_slow(CASES, [("lightning", "fedprox", None), ("one by one", "trainable", None), ("stack", "fedprox", 0.1)]),
)
def test_sparse_gradients_give_the_numbers_of_dense_ones(
    kind: str, algorithm: str, clip: float | None, tmp_path: Path
) -> None:
    trainer, options = KINDS[kind]
    net = Rows(lambda self: torch.optim.SGD(self.parameters(), LR, MOMENTUM))
    aggregator = ALGORITHMS[algorithm]()
    run = Running(tmp_path, aggregator, net=net, kind=trainer, samples=samples(), gradient_clip_val=clip, **options)
    wanted = expected(run, algorithm, clip)
    result = run.go().named()
    for name, value in wanted.items():
        torch.testing.assert_close(result[name], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["lightning", "one by one"])
@pytest.mark.parametrize(("algorithm", "clip"), [("fedprox", None), ("gradient_fn", None), ("fedavg", 1.0)])
def test_an_optimiser_for_sparse_gradients_alone_is_refused(
    kind: str, algorithm: str, clip: float | None, tmp_path: Path
) -> None:
    trainer, options = KINDS[kind]
    net = Rows(lambda self: torch.optim.SparseAdam(self.rows.parameters(), 0.1))
    aggregator = ALGORITHMS[algorithm]()
    run = Running(tmp_path, aggregator, net=net, kind=trainer, samples=samples(), gradient_clip_val=clip, **options)
    cause = "this algorithm" if clip is None else "trainer.gradient_clip_val"
    with pytest.raises(InputError, match=f"sparse gradients, which {cause} makes dense, and SparseAdam"):
        run.go()


@pytest.mark.parametrize("kind", some_slow(["lightning", "one by one"], ["lightning"]))  # stacks keep no optimiser
def test_a_momentum_of_sparse_gradients_is_kept_between_rounds(kind: str, tmp_path: Path) -> None:
    trainer, options = KINDS[kind]

    def weights(sparse: bool) -> Tensor:
        net = Rows(lambda self: torch.optim.SGD(self.parameters(), LR, MOMENTUM))
        net.rows.sparse = sparse
        folder = tmp_path / str(sparse)
        run = Running(folder, FedAvg(), net=net, kind=trainer, samples=samples(), keep_optimizer_state=True, **options)
        return run.go(3).weights

    torch.testing.assert_close(weights(sparse=True), weights(sparse=False), rtol=0, atol=1e-12)
