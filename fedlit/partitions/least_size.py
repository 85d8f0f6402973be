"""Raising small shards to a least size."""

from __future__ import annotations

import numpy as np

from fedlit.errors import InputError
from fedlit.plurals import counted


def check_least_size(size: int, clients: int, min_size: int) -> None:
    """Raise InputError if there are fewer than `clients * min_size` samples."""
    if clients * min_size > size:
        raise InputError(
            f"partition.min_size={min_size} for clients={clients} needs "
            f"{counted(clients * min_size, 'training sample')}, but there {'is' if size == 1 else 'are'} {size}; "
            f"write partition.min_size={size // clients} or less, or fewer clients."
        )


def raise_to_least_size(owner: np.ndarray, clients: int, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """Owners (N,) with which every client has at least `min_size` samples.

    Random samples move from the largest shards to shards below `min_size`. The largest shards are lowered to a common
    level of at least `min_size`; nothing else moves. N must be at least clients * min_size.
    """
    sizes = np.bincount(owner, minlength=clients)
    missing = np.maximum(min_size - sizes, 0)
    if not missing.any():
        return owner
    surplus = _surplus(sizes, int(missing.sum()), min_size, rng)
    candidates = rng.permutation(np.flatnonzero(surplus[owner]))  # all samples of shards that are lowered
    candidates = candidates[np.argsort(owner[candidates], kind="stable")]
    lowered_sizes = np.where(surplus > 0, sizes, 0)
    starts = np.cumsum(lowered_sizes) - lowered_sizes
    rank = np.arange(len(candidates)) - np.repeat(starts, lowered_sizes)  # of a sample in its shard
    moved = candidates[rank < surplus[owner[candidates]]]
    raised = owner.copy()
    raised[rng.permutation(moved)] = np.repeat(np.arange(clients), missing)
    return raised


def _surplus(sizes: np.ndarray, needed: int, min_size: int, rng: np.random.Generator) -> np.ndarray:
    """Samples that leave each shard (clients,), `needed` in total: those above a common level."""
    low, high = min_size, int(sizes.max())  # bisection: level `low` frees enough samples, level `high` too few
    while high - low > 1:
        level = (low + high) // 2
        enough = np.maximum(sizes - level, 0).sum() >= needed
        low, high = (level, high) if enough else (low, level)
    surplus = np.maximum(sizes - low, 0)
    excess = int(surplus.sum()) - needed  # less than the number of shards above the level
    surplus[rng.permutation(np.flatnonzero(surplus))[:excess]] -= 1
    return surplus
