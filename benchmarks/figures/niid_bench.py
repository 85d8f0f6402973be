"""The CNN, the partition and the measure of NIID-Bench (Li et al. 2022, arXiv:2102.02079)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from fedlit.models.classifier import Classifier, image_shape
from fedlit.partitions import Labelled, Partition


class NiidBenchPartition(Partition):
    """Client k holds class k mod C and random other ones; a class is divided equally among its holders. Unlike under
    `partition=classes`, a class may have one holder or many."""

    by_label: ClassVar[bool] = True

    def __init__(self, classes_per_client: int):
        self.classes_per_client = classes_per_client

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        assert data.labels is not None
        classes = int(data.labels.max()) + 1
        held = np.zeros((clients, classes), bool)
        for k in range(clients):
            others = np.delete(np.arange(classes), k % classes)
            held[k, [k % classes, *rng.choice(others, self.classes_per_client - 1, replace=False)]] = True
        owner = np.empty(data.size, np.int64)
        for c in range(classes):
            samples, holders = rng.permutation(np.flatnonzero(data.labels == c)), np.flatnonzero(held[:, c])
            for holder, part in zip(holders, np.array_split(samples, len(holders)), strict=True):
                owner[part] = holder
        return owner


class NiidBenchCnn(Classifier):
    """Two 5 x 5 convolutions to 6 and 16 channels, without padding, each followed by ReLU and 2 x 2 max pooling; then
    dense layers of 120 and 84 units with ReLU, and the output."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        channels, height, width = image_shape("NiidBenchCnn", input_shape, 16)
        rows, columns = (((size - 4) // 2 - 4) // 2 for size in (height, width))
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
            *(nn.Linear(16 * rows * columns, 120), nn.ReLU()),
            *(nn.Linear(120, 84), nn.ReLU()),
            nn.Linear(84, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def best_accuracy(run: Path) -> float:
    """The largest accuracy after any round, on the test set: an optimistic figure, and the one that is published."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return max(json.loads(line)["global/test/accuracy"] for line in lines)
