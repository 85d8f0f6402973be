"""Class labels of a Dataset come from its attributes or from its samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split

from fedlit.data import LoadedSamples

LABELS = [2, 0, 1, 1, 0, 2, 1]


class Counting(Dataset[Any]):
    """Counts how often samples are read; `form` returns a sample."""

    def __init__(self, form: Callable[[int], Any], **attributes: Any):
        self.form, self.read = form, 0
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, i: int) -> Any:
        self.read += 1
        return self.form(i)


def pair(i: int) -> Any:
    return torch.zeros(2), LABELS[i]


@pytest.mark.parametrize("name", ["targets", "labels"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda x: [torch.tensor(i) for i in x]])
def test_labels_come_from_attributes_without_reading_a_sample(name: str, kind: Callable[[list[int]], Any]) -> None:
    dataset = Counting(pair, **{name: kind(LABELS)})
    assert LoadedSamples(dataset).labels().tolist() == LABELS
    assert dataset.read == 0


@pytest.mark.parametrize("targets", [[0.5] * 7, list("abcdefg"), torch.eye(7)])
def test_an_attribute_that_is_no_class_gives_way_to_the_samples(targets: Any, caplog: pytest.LogCaptureFixture) -> None:
    samples = LoadedSamples(Counting(pair, targets=targets))
    assert samples.labels().tolist() == LABELS and samples.labels().tolist() == LABELS
    assert [record.message.startswith("Counting: its attribute") for record in caplog.records] == [True]


def test_an_attribute_of_numbers_beside_numbers_is_no_class(caplog: pytest.LogCaptureFixture) -> None:
    assert LoadedSamples(Counting(lambda i: (torch.zeros(2), 0.5 * i), targets=[0.5] * 7)).labels() is None
    assert not caplog.records


def test_a_batch_without_classes_is_not_left_out() -> None:
    """The first batch has one number a sample, a later one has two: they are sequences, and not fewer labels."""

    def padded(rows: list[int]) -> Any:
        return torch.zeros(len(rows)), torch.zeros(len(rows), max(rows) + 1, dtype=torch.int64)

    assert LoadedSamples(Counting(lambda i: i), padded).labels() is None


def test_an_attribute_of_another_length_is_ignored() -> None:
    assert LoadedSamples(Counting(pair, labels=["cat", "dog", "cow"])).labels().tolist() == LABELS


@pytest.mark.parametrize("targets", [7, torch.tensor(7), np.array(7), None, lambda: 7])
def test_an_attribute_that_is_no_list_is_ignored(targets: Any) -> None:
    assert LoadedSamples(Counting(pair, targets=targets)).labels().tolist() == LABELS


def test_labels_of_a_tensor_dataset_are_its_last_tensor() -> None:
    x, y = torch.zeros(7, 2), torch.tensor(LABELS)
    assert LoadedSamples(TensorDataset(x, y + 5, y)).labels().tolist() == LABELS
    assert LoadedSamples(TensorDataset(x, y.float())).labels() is None
    assert LoadedSamples(TensorDataset(y)).labels() is None


def test_subsets_and_concatenations_have_the_labels_of_their_parts() -> None:
    dataset = Counting(pair, targets=LABELS)
    inner = Subset(dataset, [6, 0, 2])
    assert LoadedSamples(Subset(inner, [2, 0])).labels().tolist() == [1, 1]
    assert LoadedSamples(ConcatDataset([inner, dataset])).labels().tolist() == [1, 2, 1, *LABELS]
    first, second = random_split(dataset, [3, 4], torch.Generator().manual_seed(0))
    both = [*LoadedSamples(first).labels(), *LoadedSamples(second).labels()]
    assert both == [LABELS[i] for i in (*first.indices, *second.indices)] and dataset.read == 0


@pytest.mark.parametrize(
    "form",
    [
        pair,
        lambda i: [torch.zeros(1), torch.zeros(1), torch.tensor(LABELS[i])],
        lambda i: {"image": torch.zeros(1), "label": LABELS[i]},
        lambda i: {"x": torch.zeros(1), "target": np.int32(LABELS[i])},
    ],
)
def test_without_attributes_every_sample_is_read_once(form: Callable[[int], Any]) -> None:
    dataset = Counting(form)
    samples = LoadedSamples(dataset)
    assert samples.labels().tolist() == LABELS
    once = dataset.read
    assert samples.labels().tolist() == LABELS and dataset.read == once == len(LABELS) + 1


@pytest.mark.parametrize(
    "form",
    [
        lambda i: (torch.zeros(2), 0.5 * i),
        lambda i: (torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)),
        lambda i: torch.zeros(2),
        lambda i: {"tokens": torch.zeros(4)},
    ],
)
def test_targets_that_are_not_classes_are_recognised_at_the_first_sample(form: Callable[[int], Any]) -> None:
    dataset = Counting(form)
    samples = LoadedSamples(dataset)
    assert samples.labels() is None and samples.labels() is None and dataset.read == 1


def test_labels_are_read_in_several_batches() -> None:
    class Long(Dataset[Any]):
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, i: int) -> Any:
            return torch.zeros(1), i * i % 7

    assert LoadedSamples(Long()).labels().tolist() == [i * i % 7 for i in range(1000)]


def test_no_progress_is_shown_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    LoadedSamples(Counting(pair)).labels()
    assert capfd.readouterr() == ("", "")
