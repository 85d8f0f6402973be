"""FLamby's first weights and order of batches of Fed-Heart-Disease, for modules that fedlit trains.

FLamby seeds torch's global generator before the model is made, and again before each run. In a federated run, the first
iterator of each centre's DataLoader is made before the second seed. An iterator draws the order of its samples with its
first batch, and centres 0 to 3 take their batches of a round one after the other. A model that is trained alone, on one
centre or on pooled data, makes its iterators after the seed, one an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fedlit.data import DataSource, TensorSamples
from fedlit.data.flamby_heart import flamby_heart

CENTRES, ROUNDS, UPDATES, BATCH = 4, 15, 100, 4
EPOCHS = 50  # of a model that is trained alone
POOLED_ORDER = (0, 2, 1, 3)  # of centres: as the folder listed their files; of all 24, this one fits all values


def hearts(root: str, normalize: Literal["hospital", "pooled"] = "hospital") -> DataSource:
    """The data with the centre of each patient as a second input."""
    source = flamby_heart(root, normalize, normalize_test="pooled")
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


@cache
def order_alone(seed: int, size: int) -> list[Tensor]:
    """The positions of the samples of all batches, epoch after epoch, of a model that is trained alone."""
    with torch.random.fork_rng(devices=[]):
        loader = DataLoader(range(size), batch_size=BATCH, shuffle=True)  # type: ignore[arg-type]
        torch.manual_seed(seed)
        return [batch for _ in range(EPOCHS) for batch in loader]


class InOrder(pl.LightningModule):
    """Logistic regression with one output; a training step takes FLamby's batch in place of the given one.

    Args:
        sets: for each training set the samples of its batches, one after the other.
    """

    def __init__(self, seed: int, source: DataSource, sets: Sequence[Sequence[Tensor]]):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(13, 1)
        self.x, self.y = source.train.tensors[0], source.train.tensors[1].float()  # type: ignore[attr-defined]
        # the samples of each batch, and their shares: 1 / 4, or less samples at the end of an epoch
        shape = len(sets), max(map(len, sets)), BATCH
        self.samples, self.shares = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
        for number, batches in enumerate(sets):
            for place, rows in enumerate(batches):
                self.samples[number, place, : len(rows)] = rows
                self.shares[number, place, : len(rows)] = 1 / len(rows)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return torch.cat([torch.zeros_like(z), z], 1)

    def place(self, centre: Tensor, batch_idx: int) -> tuple[Any, Any]:
        """The number of the training set, and the place of the batch in its order."""
        return centre, (self.round - 1) * UPDATES + batch_idx  # type: ignore[operator]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        place = self.place(batch[1][0], batch_idx)
        rows = self.samples[place]
        positive = torch.sigmoid(self.linear(self.x[rows])).squeeze(1)
        losses = nn.functional.binary_cross_entropy(positive, self.y[rows], reduction="none")
        return losses @ self.shares[place]

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[2])


def rows_of_centres(source: DataSource) -> list[Tensor]:
    assert source.train_sites is not None
    return [torch.from_numpy(np.flatnonzero(source.train_sites == centre)) for centre in range(CENTRES)]


class Federated(InOrder):
    def __init__(self, seed: int, root: str):
        source = flamby_heart(root)
        of_centre = rows_of_centres(source)
        order = order_of_batches(seed, tuple(len(rows) for rows in of_centre))
        pairs = zip(of_centre, order, strict=True)
        super().__init__(seed, source, [[rows[positions] for positions in batches] for rows, batches in pairs])


class Alone(InOrder):
    """A training set is a centre, or all centres together."""

    def __init__(self, seed: int, root: str, pooled: bool):
        source = flamby_heart(root, "pooled" if pooled else "hospital")
        of_centre = rows_of_centres(source)
        sets = [torch.cat([of_centre[centre] for centre in POOLED_ORDER])] if pooled else of_centre
        super().__init__(seed, source, [[rows[p] for p in order_alone(seed, len(rows))] for rows in sets])
        self.pooled = pooled
        self.batches = torch.tensor([-(-len(rows) // BATCH) for rows in sets])  # of an epoch

    def place(self, centre: Tensor, batch_idx: int) -> tuple[Any, Any]:
        number = 0 * centre if self.pooled else centre
        return number, self.current_epoch * self.batches[number] + batch_idx


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
