"""Small tables with equal values, missing values and columns for a guest and two hosts."""

from __future__ import annotations

import numpy as np

from fedlit.vertical.party_data import PartyData
from tests.vertical.secureboost.stepped import tables

SPLIT = {"guest": (0, 1), "host": (2, 3), "bank": (4, 5)}


def columns(people: int, seed: int = 0, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """(people, 6) whole numbers from 0 to 7, some of them missing; and classes that depend on all columns."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 8, (people, 6)).astype(np.float64)
    odds = table @ np.array([0.3, -0.2, 0.5, 0.1, -0.4, 0.2]) + 0.4 * (table[:, 2] > 4) * table[:, 5] - 2
    target = (odds + rng.normal(size=people) > 0).astype(np.float64)
    table[rng.random(table.shape) < missing] = np.nan
    return table, target


def parties(people: int = 200, seed: int = 0, split: dict | None = None, missing: float = 0.1) -> dict[str, PartyData]:
    """Two thirds of the people are for training."""
    table, target = columns(people, seed, missing)
    first = people * 2 // 3
    return tables(table[:first], table[first:], target[:first], target[first:], split or SPLIT)
