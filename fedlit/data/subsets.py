"""Subsets of a data set: their indices checked, and the samples that two of them share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset

from fedlit.errors import InputError
from fedlit.plurals import counted


def check_subsets(dataset: Any, where: str) -> None:
    """InputError if a Subset in a data set, at any depth, has indices that are no numbers of samples."""
    if isinstance(dataset, Subset):
        check_indices(dataset.indices, len(dataset.dataset), f"a Subset of {where}")  # type: ignore[arg-type]
        check_subsets(dataset.dataset, where)
    elif isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            check_subsets(part, where)


def check_indices(indices: Any, size: int, what: str) -> np.ndarray:
    """The indices as (n,) int64.

    Raises:
        InputError: they are a mask, are not whole numbers, or exceed the data set. Negative ones count from the end, as
            in any Dataset that is a sequence.
    """
    array = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
    if not array.size:
        return array.astype(np.int64).reshape(-1)
    is_mask = array.dtype == bool or (
        len(array) == size > 2 and array.dtype.kind in "iu" and np.isin(array, (0, 1)).all()
    )
    if is_mask or (array.dtype == object and any(isinstance(entry, bool | np.bool_) for entry in array.flat)):
        raise InputError(
            f"data: the indices of {what} are a mask, of which torch would take samples 0 and 1 again and again; give "
            "the numbers of the samples, Subset(dataset, numpy.flatnonzero(mask))."
        )
    if array.ndim != 1 or array.dtype.kind not in "iu":
        shape = f"of shape {array.shape}" if array.ndim != 1 else f"of type {array.dtype}"
        raise InputError(f"data: the indices of {what} are {shape}; give a list of whole numbers.")
    low, high = int(array.min()), int(array.max())
    if high >= size or low < -size:
        raise InputError(
            f"data: the indices of {what} run from {low} to {high}, and it has {counted(size, 'sample')}; give "
            f"numbers from 0 to {size - 1}."
        )
    return array.astype(np.int64)


def shared_samples(train: Any, test: Any) -> int:
    """The number of test samples that are training samples too, as far as both are parts of one Dataset object."""
    shared = np.zeros(len(test), dtype=bool)
    for base, positions, numbers in _origins(test):
        for other, _, used in _origins(train):
            if other is base:
                shared[positions[np.isin(numbers, used)]] = True
    return int(shared.sum())


def _origins(dataset: Any) -> Iterator[tuple[Dataset[Any], np.ndarray, np.ndarray]]:
    """The Dataset objects that a data set is made of: each with positions in the data set and numbers in the object."""
    if isinstance(dataset, Subset):
        indices = np.asarray(dataset.indices, dtype=np.int64).reshape(-1)
        indices = np.where(indices < 0, indices + len(dataset.dataset), indices)  # type: ignore[arg-type]
        for base, positions, numbers in _origins(dataset.dataset):
            number_at = np.full(len(dataset.dataset), -1)  # type: ignore[arg-type]
            number_at[positions] = numbers
            kept = np.flatnonzero(number_at[indices] >= 0)
            yield base, kept, number_at[indices[kept]]
    elif isinstance(dataset, ConcatDataset):
        start = 0
        for part in dataset.datasets:
            for base, positions, numbers in _origins(part):
                yield base, positions + start, numbers
            start += len(part)  # type: ignore[arg-type]
    else:
        numbers = np.arange(len(dataset))
        yield dataset, numbers, numbers
