"""Samples through a DataLoader keep its settings, and their random transforms are keyed."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, get_worker_info

from fedlit.data import LoadedSamples


class Noisy(Dataset[Any]):
    """Each sample is its number, and a draw from each global generator."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([i, torch.rand(()).item(), np.random.rand(), random.random()]), i % 3


class Where(Dataset[Any]):
    """Each sample holds the number of the worker that read it."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> tuple[int, int]:
        info = get_worker_info()
        return i, -1 if info is None else info.id


class Together(Noisy):
    """Reads the samples of a batch in one call."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(torch.tensor([i, torch.rand(()).item()]), len(indices)) for i in indices]


PARTS = [np.array([3, 1]), np.array([4]), np.array([19, 0, 2])]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_of_the_parts(workers: int) -> None:
    batches = list(LoadedSamples(Noisy(), num_workers=workers).batches(PARTS))
    assert [x[:, 0].tolist() for x, _ in batches] == [[3, 1], [4], [19, 0, 2]]
    assert [y.tolist() for _, y in batches] == [[0, 1], [1], [1, 0, 2]]


def test_a_sample_is_the_same_in_any_batch_and_worker() -> None:
    def drawn(samples: LoadedSamples, parts: list[np.ndarray], key: int) -> dict[int, list[float]]:
        rows = torch.cat([x for x, _ in samples.batches(parts, key)])
        return {int(row[0]): row.tolist() for row in rows}

    alone = drawn(LoadedSamples(Noisy()), PARTS, 7)
    assert drawn(LoadedSamples(Noisy(), num_workers=2), PARTS, 7) == alone
    assert drawn(LoadedSamples(Noisy(), num_workers=1), [np.array([0, 19, 4]), np.array([1, 2, 3])], 7) == alone
    assert drawn(LoadedSamples(Subset(Noisy(), range(20))), PARTS[::-1], 7) == alone
    x, _ = LoadedSamples(Noisy()).batch(np.array([1, 4]), 7)
    assert x.tolist() == [alone[1], alone[4]]
    other = drawn(LoadedSamples(Noisy()), PARTS, 8)
    for i, row in alone.items():
        assert all(a != b for a, b in zip(row[1:], other[i][1:], strict=True))
    assert len({value for row in alone.values() for value in row[1:]}) == 18  # no draw occurs twice


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_does_not_change_draws_elsewhere(workers: int) -> None:
    def draws(load: bool) -> list[float]:
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        for _ in LoadedSamples(Noisy(), num_workers=workers).batches(PARTS if load else []):
            break
        if load:
            LoadedSamples(Noisy()).batch(PARTS[0])
        return [torch.rand(()).item(), np.random.rand(), random.random()]

    assert draws(True) == draws(False)


def test_draws_between_two_batches_are_not_reset() -> None:
    seen = [torch.rand(()).item() for _ in LoadedSamples(Noisy()).batches(PARTS)]
    assert len(set(seen)) == len(PARTS)


def test_getitems_of_a_dataset_is_called_once_a_batch() -> None:
    for dataset in (Together(), Subset(Together(), range(20))):
        samples = LoadedSamples(dataset)
        (x, size), *_ = samples.batches(PARTS, 1)
        assert x[:, 0].tolist() == [3, 1] and size.tolist() == [2, 2]
        assert torch.equal(samples.batch(PARTS[0], 1)[0], x)


def test_the_settings_of_a_loader_are_kept() -> None:
    def collate(rows: list[Any]) -> dict[str, Any]:
        return {"number": [row[0] for row in rows], "worker": {row[1] for row in rows}}

    def number_worker(worker: int) -> None:
        assert worker < 2

    loader = DataLoader(
        Where(), batch_size=4, shuffle=True, num_workers=2, collate_fn=collate, worker_init_fn=number_worker
    )
    samples = LoadedSamples.of(loader, loader.dataset)
    batches = list(samples.batches([np.array([0, 5]), np.array([2])]))
    assert [b["number"] for b in batches] == [[0, 5], [2]]
    assert set().union(*(b["worker"] for b in batches)) == {0, 1}
    assert samples.loader["worker_init_fn"] is number_worker and samples.loader["prefetch_factor"] == 2


def test_pinning_without_an_accelerator_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(LoadedSamples(Noisy(), pin_memory=True).batches(PARTS))) == 3
