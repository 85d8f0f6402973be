"""FLamby's first weights and order of batches of Fed-Heart-Disease, for a module that fedlit trains.

FLamby seeds torch's global generator before the model is made, and again after the first iterator of each centre's
DataLoader is made, before the run. An iterator draws the order of its samples with its first batch, and centres 0 to 3
take their batches of a round one after the other.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fedlit.data import DataSource, TensorSamples
from fedlit.data.flamby_heart import flamby_heart

CENTRES, ROUNDS, UPDATES, BATCH = 4, 15, 100, 4


def hearts(root: str) -> DataSource:
    """The data with the centre of each patient as a second input."""
    source = flamby_heart(root, normalize_test="pooled")
    for part in ("train", "test"):
        x, y = getattr(source, part).tensors
        setattr(source, part, TensorSamples(x, torch.from_numpy(getattr(source, f"{part}_sites")), y))
        getattr(source, part).target = 2
    return source


@cache
def order_of_batches(seed: int, sizes: tuple[int, ...]) -> list[list[Tensor]]:
    """For each centre the positions of the samples of all its batches."""
    with torch.random.fork_rng(devices=[]):
        loaders = [DataLoader(range(size), batch_size=BATCH, shuffle=True) for size in sizes]  # type: ignore[arg-type]
        epochs = [iter(loader) for loader in loaders]
        torch.manual_seed(seed)
        taken: list[list[Tensor]] = [[] for _ in sizes]
        for _ in range(ROUNDS):
            for centre, loader in enumerate(loaders):
                for _ in range(UPDATES):
                    batch = next(epochs[centre], None)
                    if batch is None:
                        epochs[centre] = iter(loader)
                        batch = next(epochs[centre])
                    taken[centre].append(batch)
    return taken


class FlambyBaseline(pl.LightningModule):
    """Logistic regression with one output; a training step takes FLamby's batch in place of the given one."""

    def __init__(self, seed: int, root: str):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(13, 1)
        source = flamby_heart(root)
        self.x, self.y = source.train.tensors[0], source.train.tensors[1].float()  # type: ignore[attr-defined]
        of_centre = [torch.from_numpy(np.flatnonzero(source.train_sites == centre)) for centre in range(CENTRES)]
        order = order_of_batches(seed, tuple(len(rows) for rows in of_centre))
        # the samples of each centre's batches, and their shares: 1 / 4, or less samples at the end of an epoch
        self.samples = torch.zeros(CENTRES, ROUNDS * UPDATES, BATCH, dtype=torch.int64)
        self.shares = torch.zeros(CENTRES, ROUNDS * UPDATES, BATCH)
        for centre, batches in enumerate(order):
            for place, positions in enumerate(batches):
                self.samples[centre, place, : len(positions)] = of_centre[centre][positions]
                self.shares[centre, place, : len(positions)] = 1 / len(positions)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return torch.cat([torch.zeros_like(z), z], 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        centre, place = batch[1][0], (self.round - 1) * UPDATES + batch_idx  # type: ignore[operator]
        rows = self.samples[centre, place]
        positive = torch.sigmoid(self.linear(self.x[rows])).squeeze(1)
        losses = nn.functional.binary_cross_entropy(positive, self.y[rows], reduction="none")
        return losses @ self.shares[centre, place]

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[2])


def accuracies(weights: Tensor, root: Path) -> list[float]:
    """Pooled test, normalised by all centres, and the test of each centre, normalised by itself.

    Args:
        weights: (14,), the bias last.
    """
    own, pooled = flamby_heart(root), flamby_heart(root, normalize="pooled")
    parts = [(pooled, np.ones(len(pooled.test), bool)), *((own, own.test_sites == c) for c in range(CENTRES))]
    result = []
    for source, rows in parts:
        x, y = (tensor[rows] for tensor in source.test.tensors)  # type: ignore[attr-defined]
        positive = torch.sigmoid(x @ weights[:13] + weights[13]) > 0.5
        result.append(float((positive == y.bool()).double().mean()))
    return result
