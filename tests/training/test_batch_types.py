"""A step gets batches of the types that a DataLoader gives: in a fit of each kind, in measuring and in a trial."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from fedlit.data import adopt
from fedlit.evaluation.measure import Measure
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.stacks import check_stacked

N, WIDTH = 20, 3
Pair = namedtuple("Pair", "x y")
SEEN: list[Any] = []


def x() -> Tensor:
    return torch.arange(N * WIDTH, dtype=torch.float32).view(N, WIDTH) / N


class Items(Dataset[Any]):
    def __init__(self, item: Any):
        self.item = item

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return self.item(x()[i], i % 2)


DATASETS: dict[str, Any] = {
    "tensors": lambda: TensorDataset(x(), torch.arange(N) % 2),
    "one tensor": lambda: TensorDataset(x()),
    "a subset of tensors": lambda: Subset(TensorDataset(x(), torch.arange(N) % 2), range(N - 1)),
    "tuples": lambda: Items(lambda x, y: (x, y)),
    "lists": lambda: Items(lambda x, y: [x, y]),
    "named tuples": lambda: Items(Pair),
    "dicts": lambda: Items(lambda x, y: {"x": x, "y": y}),
    "nested": lambda: Items(lambda x, y: ({"x": x, "more": (x, [x, y])}, Pair(x, y))),
    "a tensor": lambda: Items(lambda x, y: x),
}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "channels last": (LightningTrainer, {"memory_format": "channels_last"}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "traced": (VectorizedTrainer, {"stack": "always", "compile": "trace"}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}


def types(batch: Any) -> Any:
    """The types in a batch, tensors as one word."""
    if isinstance(batch, Tensor):
        return "tensor"
    if isinstance(batch, dict):
        return type(batch), {key: types(value) for key, value in batch.items()}
    return type(batch), [types(value) for value in batch]


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(WIDTH, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        SEEN.append(types(batch))
        while not isinstance(batch, Tensor):
            batch = batch["x"] if isinstance(batch, dict) else batch[0]
        return self.net(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Data:
    def __init__(self, dataset: Any):
        self.train = self.test = dataset


class Loaders(pl.LightningDataModule):
    def __init__(self, dataset: Any):
        super().__init__()
        self.dataset = dataset

    def train_dataloader(self) -> Any:
        return DataLoader(self.dataset, 4, shuffle=True)

    val_dataloader = test_dataloader = train_dataloader


def as_a_tuple(batch: Any, index: Any, client: Any, split: str, key: Any) -> Any:
    return tuple(batch) if type(batch) is list else batch


QUICK = {
    "tensors": KINDS.keys() - {"traced"},
    "one tensor": ["stack"],
    "named tuples": ["one by one"],
    "nested": ["lightning", "stack"],
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[] if kind in QUICK.get(name, ()) else [pytest.mark.slow])
        for name in DATASETS
        for kind in KINDS
    ],
)
def test_the_step_gets_what_a_data_loader_gives(name: str, kind: str) -> None:
    dataset = DATASETS[name]()
    expected = types(next(iter(DataLoader(dataset, 4))))
    for wrapped, transform in ((Data(dataset), None), (Loaders(dataset), None), (Data(dataset), as_a_tuple)):
        samples = adopt(wrapped).train
        trainer_class, options = KINDS[kind]
        torch.manual_seed(0)
        SEEN.clear()
        worker = trainer_class(accelerator="cpu", **options).worker(
            Net(), JobData(samples, samples, transform), Measure()
        )
        parts = np.split(np.arange(len(samples)), [11])
        jobs = [Job(c, Round(1, 0, [0, 1], 2), 4, 1, part, part, part) for c, part in enumerate(parts)]
        start, counts = worker.host.layout.read(worker.host.module), counters(worker.host.module)
        for rows in worker.chunks(jobs):
            client = worker.client(jobs[rows], counts, [{}] * len(jobs[rows]))
            client.watch_epochs(range(len(jobs[rows])))
            client.fit(start)
            client.loss(start, "validation")
            client.measure(start, "test", range(len(jobs[rows])))
        if options.get("stack") == "always":
            check_stacked(worker)
        assert SEEN and all(seen == expected for seen in SEEN), (expected, next(s for s in SEEN if s != expected))
