"""Data of your own: two map-style Datasets, and the site of each sample."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import TensorDataset


class Machines:
    """Readings of sensors, (N, 6), from machines that are good (0) or worn (1). Each machine has its own offset.

    `train` and `test` are all that fedlit needs. The other attributes are used where they exist.
    """

    classes = ("good", "worn")  # names for figures and tables
    input_shape = (6,)

    def __init__(self, machines: int = 8, readings: int = 200):
        """
        Args:
            machines: number of machines, the natural clients.
            readings: readings of each machine; a fifth of them are test samples.
        """
        rng = np.random.default_rng(0)
        site = np.repeat(np.arange(machines), readings)
        y = rng.integers(0, 2, len(site))
        x = rng.normal(size=(len(site), 6)) + rng.normal(size=(machines, 6))[site]
        x[:, 0] += 3 * y  # a worn machine shakes
        test = np.arange(len(site)) % 5 == 0
        self.train, self.test = (_dataset(x[part], y[part]) for part in (~test, test))
        self.train_sites, self.test_sites = site[~test], site[test]


def _dataset(x: np.ndarray, y: np.ndarray) -> TensorDataset:
    return TensorDataset(torch.from_numpy(x).float(), torch.from_numpy(y))
