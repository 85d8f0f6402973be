"""One line says which settings of a user's loaders are used, and which are not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fedlit.data import adopt
from tests.data.test_data_module import AsMap
from tests.data.test_user_data import Module

TENSORS = TensorDataset(torch.zeros(9, 2), torch.arange(9) % 3)
MAPPED = AsMap(TENSORS)
TESTED = TensorDataset(torch.ones(7, 2), torch.arange(7) % 3)
WEIGHTED = WeightedRandomSampler([1.0] * 9, 9)
DRAWN = RandomSampler(TENSORS, replacement=True)


def listed(rows: list[Any]) -> Any:
    return torch.stack([x for x, _ in rows]), torch.stack([y for _, y in rows])


class Own(BatchSampler):
    """Batches of a user."""


class Fast(DataLoader[Any]):
    def __iter__(self) -> Any:
        return iter([TENSORS[:4]])


NOT_USED: dict[str, tuple[Any, str]] = {
    "batch size": (
        lambda: DataLoader(MAPPED, batch_size=4),
        "batch_size=4, unlike the run's batch_size=32, is not used",
    ),
    "drop last": (lambda: DataLoader(TENSORS, drop_last=True), "its drop_last=True is not used"),
    "weights": (lambda: DataLoader(TENSORS, sampler=WEIGHTED), "WeightedRandomSampler"),
    "with replacement": (
        lambda: DataLoader(TENSORS, sampler=DRAWN),
        "RandomSampler",
    ),
    "fewer samples": (lambda: DataLoader(TENSORS, sampler=RandomSampler(TENSORS, num_samples=4)), "RandomSampler"),
    "a list": (lambda: DataLoader(TENSORS, sampler=[1, 2]), "list"),
    "batches": (lambda: DataLoader(TENSORS, batch_sampler=Own(SequentialSampler(TENSORS), 2, False)), "Own"),
    "a list of batches": (lambda: DataLoader(TENSORS, batch_sampler=[[1], [2, 3]]), "list"),
    "iteration": (lambda: Fast(TENSORS), r"Fast.__iter__"),
}


def lines(caplog: pytest.LogCaptureFixture, train: DataLoader[Any], test: DataLoader[Any] | None = None) -> list[Any]:
    with caplog.at_level(logging.INFO):
        adopt(Module(train, test or DataLoader(TESTED)), batch_size=32)
    return [(record.levelno, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(("make", "text"), NOT_USED.values(), ids=NOT_USED)
def test_a_setting_that_is_lost_is_named_in_a_warning(make: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    ((level, message),) = lines(caplog, make())
    assert level == logging.WARNING and message.startswith("Module.train_dataloader: ")
    assert text in message and "is not used" in message


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(MAPPED),
        lambda: DataLoader(TENSORS, shuffle=True),
        lambda: DataLoader(TENSORS, batch_size=32),
        lambda: DataLoader(TENSORS, sampler=SubsetRandomSampler([1, 2])),
    ],
)
def test_defaults_are_not_mentioned(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, make(), DataLoader(TESTED, batch_size=7, drop_last=True)) == []


def test_one_line_has_all_settings_of_both_loaders(caplog: pytest.LogCaptureFixture) -> None:
    train = DataLoader(MAPPED, 4, num_workers=1, persistent_workers=True, collate_fn=listed)
    ((level, message),) = lines(caplog, train, DataLoader(AsMap(TESTED), num_workers=2))
    assert level == logging.WARNING
    assert "its num_workers=1 is used, its collate_fn is used" in message and "persistent" not in message
    assert "Module.test_dataloader: its num_workers=2 is used." in message


def test_settings_that_change_no_number_are_information(caplog: pytest.LogCaptureFixture) -> None:
    ((level, message),) = lines(caplog, DataLoader(TENSORS, num_workers=1))
    assert level == logging.INFO and "its num_workers=1 is not used" in message  # the tensors are in memory


def test_a_validation_loader_beside_a_test_loader_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Validated(Module):
        def val_dataloader(self) -> Any:
            raise AssertionError("not needed")

    adopt(Validated(DataLoader(MAPPED), DataLoader(TESTED)))
    assert "Validated.val_dataloader is not used; evaluation.client_validation" in caplog.text
