"""A federation's data: training and test samples, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.data.samples import Samples
from fedlit.data.transform import Transform


@dataclass
class DataSource:
    """Training and test samples, before any partition."""

    name: str
    train: Samples
    test: Samples
    classes: int | None = None  # None: not a classification
    input_shape: tuple[int, ...] | None = None  # of one sample, such as (1, 8, 8)
    train_sites: np.ndarray | None = None  # (N,) int64, natural client of each sample: 0 to S - 1
    test_sites: np.ndarray | None = None  # (M,) int64; -1 for a site that has no training samples
    label_names: list[str] | None = None
    transform: Transform | None = None  # train-time augmentation


def numbered(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites of any kind (numbers, words), (N,) and (M,), as numbers 0 to S - 1 in sorted order.

    Sites that only test samples have become -1.
    """
    sites, train_numbers = np.unique(train, return_inverse=True)
    position = np.searchsorted(sites, test).clip(max=len(sites) - 1)
    test_numbers = np.where(sites[position] == test, position, -1)
    return train_numbers.reshape(-1).astype(np.int64), test_numbers.astype(np.int64)
