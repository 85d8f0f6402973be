"""Indices of Subsets, and samples that a training and a test set share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, SubsetRandomSampler, TensorDataset

from fedlit.data import adopt
from fedlit.data.subsets import shared_samples
from fedlit.errors import InputError
from tests.data.test_targets import LABELS, Both, Form, N, X, Y, pair

MASK = (Y < 2).numpy()
BAD = {
    "list of bools": (MASK.tolist(), "are a mask"),
    "numpy": (MASK, "are a mask"),
    "torch": (torch.from_numpy(MASK), "are a mask"),
    "bytes": (torch.from_numpy(MASK).byte(), "are a mask"),
    "list of tensors": (list(torch.from_numpy(MASK)), "are a mask"),
    "short mask": (MASK[:7], "are a mask"),
    "zeros and ones": (MASK.astype(int).tolist(), "are a mask"),
    "beyond the end": ([0, N], f"run from 0 to {N}, and it has {N} samples"),
    "before the start": ([-N - 1, 3], f"run from {-N - 1} to 3"),
    "floats": ([0.0, 1.5], "are of type float64"),
    "a table": (np.zeros((2, 2), int), r"are of shape \(2, 2\)"),
}
DATASETS = {"tensors": lambda: TensorDataset(X, Y), "dataset": lambda: Form(pair)}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
@pytest.mark.parametrize(("indices", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("nested", [lambda d: d, lambda d: Subset(d, [0]), lambda d: ConcatDataset([d, d])])
def test_indices_that_are_no_numbers_of_samples_are_refused(
    dataset: Any, indices: Any, message: str, nested: Any
) -> None:
    with pytest.raises(InputError, match=f"data: the indices of a Subset of Both.train {message}"):
        adopt(Both(lambda: nested(Subset(dataset(), indices))))


@pytest.mark.parametrize("indices", [MASK, [0, N]])
def test_a_sampler_of_a_subset_is_checked(indices: Any) -> None:
    from tests.data.test_user_data import Module

    loader = DataLoader(TensorDataset(X, Y), sampler=SubsetRandomSampler(indices))
    with pytest.raises(InputError, match="the indices of the sampler of Module.train_dataloader"):
        adopt(Module(loader, loader))


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda i: range(3, -1, -1)])
def test_numbers_of_samples_are_taken_in_their_order(dataset: Any, kind: Any) -> None:
    subset = Subset(Subset(dataset(), kind([3, 2, 1, 0])), [3, 0])
    samples = adopt(Both(lambda: subset)).train
    expected = [X[i] for i, _ in ((0, 0), (3, 0))]
    assert torch.equal(samples.batch(np.arange(2))[0], torch.stack(expected))
    assert samples.labels().tolist() == [LABELS[0], LABELS[3]]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_negative_numbers_count_from_the_end(dataset: Any) -> None:
    samples = adopt(Both(lambda: Subset(dataset(), [-1, -3, 0]))).train
    assert samples.labels().tolist() == [LABELS[-1], LABELS[-3], LABELS[0]]
    assert torch.equal(samples.batch(np.arange(3))[0], X[[-1, -3, 0]])


def origin_by_reading(dataset: Dataset[Any]) -> list[int]:
    """The number of each sample in the data set of all numbers, read sample by sample."""
    return [int(dataset[i]) for i in range(len(dataset))]  # type: ignore[arg-type]


class Numbers(Dataset[Any]):
    def __len__(self) -> int:
        return 30

    def __getitem__(self, i: int) -> int:
        return range(30)[i]


def test_shared_samples_are_counted_through_subsets_and_concatenations() -> None:
    rng, base = np.random.default_rng(0), Numbers()
    for _ in range(50):

        def part() -> Any:
            inner = Subset(base, rng.integers(-30, 30, rng.integers(1, 12)).tolist())
            outer = Subset(inner, rng.integers(0, len(inner), 5).tolist())
            joined = ConcatDataset([base, inner])
            return [outer, ConcatDataset([inner, outer]), Subset(joined, [30, 2])][rng.integers(3)]

        train, test = part(), part()
        used = set(origin_by_reading(train))
        assert shared_samples(train, test) == sum(number in used for number in origin_by_reading(test))
    assert shared_samples(Subset(Numbers(), [1]), Subset(Numbers(), [1])) == 0


def test_shared_samples_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    data, tensors = Both(lambda: None), TensorDataset(X, Y)
    data.train, data.test = Subset(tensors, range(30)), Subset(tensors, range(27, 40))
    adopt(data)
    assert "3 of the 13 test samples of Both.test are training samples too" in caplog.text
    caplog.clear()
    data.test = Subset(tensors, range(30, 40))
    adopt(data)
    assert not caplog.records
