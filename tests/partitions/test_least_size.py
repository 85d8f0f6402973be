"""Small shards are raised from the largest, which are lowered to one level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlit.errors import InputError
from fedlit.partitions.least_size import check_least_size, raise_to_least_size
from fedlit.randomness import generator


def lowered_one_by_one(sizes: list[int], min_size: int) -> list[int]:
    """Sorted sizes after moving single samples from a largest to a smallest shard."""
    sizes = list(sizes)
    while min(sizes) < min_size:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(min(sizes))] += 1
    return sorted(sizes)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 15), st.integers(0, 100))
def test_small_shards_are_raised_and_large_ones_lowered_to_a_level(sizes: list[int], min_size: int, seed: int):
    min_size = min(min_size, sum(sizes) // len(sizes))
    before = generator(seed, "order").permutation(np.repeat(np.arange(len(sizes)), sizes))
    after = raise_to_least_size(before, len(sizes), min_size, generator(seed))
    actual = np.bincount(after, minlength=len(sizes))
    assert sorted(actual.tolist()) == lowered_one_by_one(sizes, min_size)
    assert (after != before).sum() == sum(max(min_size - s, 0) for s in sizes), "nothing else moves"


def test_the_moved_samples_are_drawn_at_random():
    before = np.repeat([0, 1], [90, 10])
    moved = [np.flatnonzero(raise_to_least_size(before, 2, 20, generator(seed)) != before) for seed in range(50)]
    assert all(len(m) == 10 and m.max() < 90 for m in moved)
    assert np.mean(moved) == pytest.approx(44.5, abs=5)  # standard error: 1.2


def test_too_few_samples_for_min_size_are_refused():
    with pytest.raises(InputError, match="partition.min_size=10 for clients=30 needs 300 training samples, but there"):
        check_least_size(299, 30, 10)
    check_least_size(300, 30, 10)
