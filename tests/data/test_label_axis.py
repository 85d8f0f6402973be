"""Labels (N, 1) reach a step that cannot take them as (N,); other steps get what a DataLoader gives."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from fedlit.data import adopt
from fedlit.data.label_axis import SqueezedLabels
from fedlit.experiment_data import with_labels_for

X, Y = torch.randn(12, 3), torch.arange(12).reshape(12, 1) % 2
Pair = namedtuple("Pair", "x y")


class Items(Dataset):
    def __init__(self, make: Any) -> None:
        self.make = make

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> Any:
        return self.make(X[i], Y[i])


class Both:
    def __init__(self, dataset: Any) -> None:
        self.train = self.test = dataset


DATA = {
    "tensors": (TensorDataset(X, Y), lambda batch: batch),
    "arrays": (Items(lambda x, y: (x, y.numpy())), lambda batch: batch),
    "named": (Items(Pair), lambda batch: batch),
    "dicts": (Items(lambda x, y: {"label": y, "x": x}), lambda batch: (batch["x"], batch["label"])),
}


class Net(pl.LightningModule):
    def __init__(self, pair: Any, labels: Any) -> None:
        super().__init__()
        self.layer, self.pair, self.labels = nn.Linear(3, 2), pair, labels

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = self.pair(batch)
        return F.cross_entropy(self.layer(x), self.labels(y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("kind", DATA)
def test_a_step_that_needs_one_number_a_sample_gets_it(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset, pair = DATA[kind]
    given = adopt(Both(dataset))
    caplog.clear()  # one data set for training and test is warned of
    data = with_labels_for(Net(pair, lambda y: y), given)
    for samples, before in ((data.train, given.train), (data.test, given.test)):
        batch, original = samples.batch(np.array([1, 4])), before.batch(np.array([1, 4]))
        assert type(batch) is type(original)
        (x, y), (x_before, y_before) = pair(batch), pair(original)
        assert torch.equal(x, x_before) and y.tolist() == [1, 0] and y_before.tolist() == [[1], [0]]
        assert pair(next(iter(samples.batches([np.array([3])]))))[1].tolist() == [1]
        assert samples.labels().tolist() == Y[:, 0].tolist()
    assert [record.getMessage() for record in caplog.records] == [
        "Net: training_step gets the labels of Both as (N,), because it fails with (N, 1)."
    ]


class InSetup(Net):
    """Its layer is as wide as the samples of the data module; it draws."""

    def __init__(self) -> None:
        super().__init__(lambda batch: batch, lambda y: y)
        self.layer: Any = None

    def setup(self, stage: str) -> None:
        self.layer = nn.Linear(self.trainer.datamodule.train[0][0].shape[0], 2)


class InConfigureModel(InSetup):
    setup = pl.LightningModule.setup

    def configure_model(self) -> None:
        self.layer = nn.Linear(3, 2)


class Lazy(InSetup):
    def setup(self, stage: str) -> None:
        self.layer = nn.LazyLinear(2)


@pytest.mark.parametrize("make", [InSetup, InConfigureModel, Lazy])
def test_a_step_whose_layers_are_made_later_is_tried_with_them(make: Any) -> None:
    module, given = make(), adopt(Both(TensorDataset(X, Y)))
    torch.manual_seed(5)
    data = with_labels_for(module, given)
    assert data.train.batch(np.array([1, 4]))[1].tolist() == [1, 0]
    assert module.layer is None
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1)), "the first weights are those of a run without the trial"


@pytest.mark.parametrize("labels", [lambda y: y.squeeze(1), lambda y: y[:, 0], lambda y: torch.squeeze(y)])
@pytest.mark.parametrize("kind", DATA)
def test_a_step_that_takes_the_axis_gets_what_a_dataloader_gives(
    kind: str, labels: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, pair = DATA[kind]
    data = adopt(Both(dataset))
    caplog.clear()
    assert with_labels_for(Net(pair, labels), data) is data
    assert not caplog.records


def test_a_step_that_fails_either_way_keeps_its_own_error() -> None:
    data = adopt(Both(TensorDataset(X, Y)))
    assert with_labels_for(Net(lambda batch: batch, lambda y: y.nothing), data) is data


def test_a_stack_of_clients_gets_the_labels_of_each() -> None:
    samples = SqueezedLabels(adopt(Both(TensorDataset(X, Y))).train)
    assert samples.in_memory
    assert samples.batch(np.array([[0, 1], [2, 3], [5, 5]]))[1].tolist() == [[0, 1], [0, 1], [1, 1]]
