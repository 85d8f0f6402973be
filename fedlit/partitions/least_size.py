"""Raising small shards to a least size, in one pass that always ends."""

from __future__ import annotations

import numpy as np

from fedlit.errors import InputError


def check_least_size(size: int, clients: int, min_size: int) -> None:
    """Raises InputError where there are too few samples for every client to get `min_size`."""
    if clients * min_size > size:
        raise InputError(
            f"partition.min_size={min_size} for clients={clients} asks for {clients * min_size} training samples and "
            f"there are {size}; write partition.min_size={size // clients} or less, or fewer clients."
        )


def raise_to_least_size(owner: np.ndarray, clients: int, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """Owners (N,) under which every client has at least `min_size` samples.

    Random samples move from the largest shards, which are all lowered to one level, to those that are short; no shard
    sinks below `min_size`, and nothing else moves. N must be at least clients * min_size.
    """
    sizes = np.bincount(owner, minlength=clients)
    missing = np.maximum(min_size - sizes, 0)
    if not missing.any():
        return owner
    giving = _giving(sizes, int(missing.sum()), min_size, rng)
    donors = rng.permutation(np.flatnonzero(giving[owner]))  # every sample of the shards that give
    donors = donors[np.argsort(owner[donors], kind="stable")]
    held = np.where(giving > 0, sizes, 0)
    place = np.arange(len(donors)) - np.repeat(np.cumsum(held) - held, held)  # within its shard
    moved = donors[place < giving[owner[donors]]]
    out = owner.copy()
    out[rng.permutation(moved)] = np.repeat(np.arange(clients), missing)
    return out


def _giving(sizes: np.ndarray, needed: int, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """How many samples each shard gives (clients,), `needed` in all: what stands above the water level."""
    low, high = min_size, int(sizes.max())  # above `low` there is enough, above `high` there is not
    while high - low > 1:  # halves the gap
        level = (low + high) // 2
        enough = np.maximum(sizes - level, 0).sum() >= needed
        low, high = (level, high) if enough else (low, level)
    giving = np.maximum(sizes - low, 0)
    spare = int(giving.sum()) - needed  # fewer than there are shards above the level
    giving[rng.permutation(np.flatnonzero(giving))[:spare]] -= 1
    return giving
