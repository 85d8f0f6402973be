"""The data of a federation: training and test samples, and facts about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.data.column_table import ColumnTable
from fedlit.data.samples import Samples
from fedlit.data.transform import Transform


@dataclass
class DataSource:
    """Training and test samples, before any partition.

    >>> import torch
    >>> from fedlit.data import TensorSamples
    >>> train = TensorSamples(torch.randn(8, 3), torch.tensor([0, 1] * 4))
    >>> test = TensorSamples(torch.randn(2, 3), torch.tensor([0, 1]))
    >>> DataSource("mine", train, test, classes=2, input_shape=(3,)).train.labels()
    array([0, 1, 0, 1, 0, 1, 0, 1])
    """

    name: str
    train: Samples
    test: Samples
    classes: int | None = None  # None: not a classification
    input_shape: tuple[int, ...] | None = None  # of one sample, such as (1, 8, 8)
    train_sites: np.ndarray | None = None  # (N,) int64, the natural client of each sample, 0 to S - 1
    test_sites: np.ndarray | None = None  # (M,) int64; -1: a site without training samples
    label_names: list[str] | None = None
    transform: Transform | None = None  # augmentation of training batches
    columns: ColumnTable | None = None  # the same people for a vertical run; None: the data have no named columns
    users: Any = None  # the user's data module, or other object, that the samples came from


def numbered(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites of any kind (numbers, words), (N,) and (M,), as numbers 0 to S - 1 in sorted order.

    Sites that only test samples have become -1.
    """
    sites, train_numbers = np.unique(train, return_inverse=True)
    position = np.searchsorted(sites, test).clip(max=len(sites) - 1)
    test_numbers = np.where(sites[position] == test, position, -1)
    return train_numbers.reshape(-1).astype(np.int64), test_numbers.astype(np.int64)
