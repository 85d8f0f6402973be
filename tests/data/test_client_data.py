"""A client's shard under Lightning's Trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from fedlit.data import LoadedSamples, TensorSamples
from fedlit.data.client_data import ClientData, ShardPass


class Seen(LightningModule):
    """Records the targets of each batch, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seen: list[list[list[int]]] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        assert batch_idx == len(self.seen[-1])
        self.seen[-1].append(batch[1].tolist())
        return self.layer(batch[0]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Pairs(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.rand(2), i


EPOCHS = [[np.array([1, 2]), np.array([3])], [np.array([3, 1]), np.array([2])], [np.array([2, 3]), np.array([1])]]
AS_LISTS = [[part.tolist() for part in epoch] for epoch in EPOCHS]


def keyed(epochs: Sequence[Sequence[np.ndarray]], keys: Sequence[int]) -> list[list[ShardPass]]:
    """Each epoch as one pass with its key."""
    return [[ShardPass(batches, key)] for batches, key in zip(epochs, keys, strict=True)]


def fit(module: LightningModule, data: ClientData, epochs: int, batches: int = 2) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, datamodule=data)
    assert trainer.global_step == batches * epochs


@pytest.mark.parametrize("samples", [TensorSamples(torch.randn(10, 2), torch.arange(10)), LoadedSamples(Pairs())])
def test_each_epoch_has_its_own_batches_and_each_fit_its_own_client(samples: Any) -> None:
    data = ClientData(samples)
    for client in (4, 5):
        module = Seen()
        data.load(keyed(EPOCHS, [7, 8, 9]), client)
        fit(module, data, 3)
        assert module.seen == AS_LISTS
    again = Seen()
    data.load(keyed(EPOCHS[:1], [0]), 6)
    fit(again, data, 1)
    assert again.seen == AS_LISTS[:1]


def test_the_transform_gets_index_client_stage_and_key_of_the_epoch() -> None:
    calls = []

    def note(batch: Any, index: torch.Tensor, client: torch.Tensor, split: str, key: torch.Tensor) -> Any:
        assert (index.dtype, client.dtype, key.dtype) == (torch.int64,) * 3
        calls.append((index.tolist(), client.tolist(), split, key.tolist()))
        return batch[0], batch[1] + 100

    data = ClientData(TensorSamples(torch.randn(10, 2), torch.arange(10)), note)
    data.load(keyed(EPOCHS[:2], [7, 2**62 - 1]), 4)
    module = Seen()
    fit(module, data, 2)
    assert calls == [
        ([1, 2], [4], "train", [7]),
        ([3], [4], "train", [7]),
        ([3, 1], [4], "train", [2**62 - 1]),
        ([2], [4], "train", [2**62 - 1]),
    ]
    assert module.seen == [[[101, 102], [103]], [[103, 101], [102]]]


def test_random_transforms_of_the_data_set_are_keyed_by_the_epoch() -> None:
    data = ClientData(LoadedSamples(Pairs()))
    data.load(keyed([EPOCHS[0]] * 3, [7, 8, 7]), 0)
    loader = data.train_dataloader()
    first, second, third = (torch.cat([x for x, _ in loader]) for _ in range(3))
    assert torch.equal(first, third) and not torch.equal(first, second)


def test_an_unused_iterator_does_not_count_as_an_epoch() -> None:
    data = ClientData(TensorSamples(torch.randn(10, 2), torch.arange(10)))
    data.load(keyed(EPOCHS, [0, 0, 0]), 0)
    loader = data.train_dataloader()
    iter(loader)
    assert len(loader) == 2
    assert [[y.tolist() for _, y in loader] for _ in range(3)] == AS_LISTS


def test_an_epoch_may_have_batches_of_several_passes_each_with_its_key() -> None:
    keys = []

    def note(batch: Any, index: torch.Tensor, client: torch.Tensor, split: str, key: torch.Tensor) -> Any:
        keys.append(key.tolist())
        return batch

    data = ClientData(TensorSamples(torch.randn(10, 2), torch.arange(10)), note)
    data.load([[ShardPass(EPOCHS[0], 7), ShardPass(EPOCHS[1][:1], 8)]], 0)
    module = Seen()
    fit(module, data, 1, 3)
    assert module.seen == [[[1, 2], [3], [3, 1]]]
    assert (keys, data.count()) == ([[7], [7], [8]], 3)


def test_epochs_with_different_numbers_of_batches_are_refused() -> None:
    data = ClientData(TensorSamples(torch.randn(10, 2), torch.arange(10)))
    with pytest.raises(ValueError, match=r"\[2, 1\] batches in the epochs"):
        data.load(keyed([EPOCHS[0], EPOCHS[1][:1]], [0, 0]), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("samples", [TensorSamples(torch.randn(10, 2), torch.arange(10)), LoadedSamples(Pairs())])
def test_batches_and_the_arguments_of_the_transform_are_on_the_device(samples: Any) -> None:
    def check(batch: Any, index: torch.Tensor, client: torch.Tensor, split: str, key: torch.Tensor) -> Any:
        assert all(t.is_cuda for t in (*batch, index, client, key))
        return batch

    data = ClientData(samples, check, "cuda")
    data.load(keyed(EPOCHS, [0, 0, 0]), 0)
    assert [[y.tolist() for _, y in data.train_dataloader()]] == AS_LISTS[:1]
