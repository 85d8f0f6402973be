"""Division of samples in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlit.partitions.sharing import equal, hand_out, largest_remainder, proportional
from fedlit.randomness import generator

WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any)


@given(st.integers(0, 500), st.integers(1, 60))
def test_equal_sizes_sum_to_the_total(total: int, clients: int):
    sizes = equal(total, clients)
    assert sizes.sum() == total and len(sizes) == clients and np.ptp(sizes) <= 1


@given(st.integers(0, 1000), WEIGHTS, st.integers(0, 100))
def test_shares_are_rounded_up_or_down(total: int, weights: list[int], seed: int):
    exact = total * np.array(weights) / sum(weights)
    for method in (proportional, largest_remainder):
        counts = method(total, np.array(weights), generator(seed))
        assert counts.sum() == total
        assert (np.abs(counts - exact) < 1 + 1e-9).all()
        assert (counts[exact == 0] == 0).all()


@given(st.integers(0, 1000), WEIGHTS, st.integers(0, 100))
def test_largest_remainder_goes_to_the_largest(total: int, weights: list[int], seed: int):
    shares = [divmod(total * w, sum(weights)) for w in weights]
    more = largest_remainder(total, np.array(weights), generator(seed)) - [floor for floor, _ in shares]
    rounded_up = [remainder for (_, remainder), m in zip(shares, more, strict=True) if m]
    rounded_down = [remainder for (_, remainder), m in zip(shares, more, strict=True) if not m]
    assert min(rounded_up, default=np.inf) >= max(rounded_down, default=-1)


def test_proportional_is_unbiased():
    weights = np.array([0.1, 1.0, 0.0, 2.0, 0.4])
    mean = np.mean([proportional(2, weights, generator(seed)) for seed in range(4000)], axis=0)
    assert mean == pytest.approx(2 * weights / weights.sum(), abs=0.03)  # largest standard error: 0.008


@pytest.mark.parametrize("weights", [[1e-300, 1.0, 1e-300], [1.0, 0.0, 0.0], [1e300, 1e300]])
def test_proportional_accepts_extreme_weights(weights: list[float]):
    for seed in range(50):
        counts = proportional(1001, np.array(weights), generator(seed))
        assert counts.sum() == 1001 and counts.min() >= 0


def test_hand_out_gives_each_client_its_size():
    owner = hand_out(np.array([2, 0, 3]), generator(0))
    assert np.bincount(owner).tolist() == [2, 0, 3]
    assert len({tuple(hand_out(np.array([2, 0, 3]), generator(seed))) for seed in range(200)}) == 10
