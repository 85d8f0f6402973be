"""Sizes by a law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlit.errors import InputError
from fedlit.partitions import Labelled, Quantity, histogram
from fedlit.partitions.size_law import sizes_by_weight
from fedlit.randomness import generator


def sizes(partition: Quantity, size: int, clients: int, seed: int = 0) -> np.ndarray:
    return partition.train(Labelled(size), clients, generator(seed)).sizes


def test_log_normal_sizes_have_the_given_deviation():
    logs = np.log(sizes(Quantity(skew=0.7, min_size=0), 20_000_00, 1000))
    assert logs.std() == pytest.approx(0.7, rel=0.1)
    assert np.mean(((logs - logs.mean()) / logs.std()) ** 3) == pytest.approx(0, abs=0.3)  # no skewness


def test_power_law_sizes_have_the_given_exponent():
    actual = np.sort(sizes(Quantity(law="power", skew=1.5, min_size=0), 1_000_000, 50))[::-1]
    assert actual[0] / actual[9] == pytest.approx(10**1.5, rel=1e-2)
    assert actual[0] / actual[49] == pytest.approx(50**1.5, rel=1e-2)


@pytest.mark.parametrize("law", ["lognormal", "power"])
def test_without_skew_sizes_are_equal(law: str):
    assert np.ptp(sizes(Quantity(law=law, skew=0.0), 1003, 10)) <= 1


@pytest.mark.parametrize("law", ["lognormal", "power"])
def test_any_client_may_be_the_largest(law: str):
    assert {int(sizes(Quantity(law=law), 1000, 5, seed).argmax()) for seed in range(60)} == set(range(5))


@pytest.mark.parametrize("law", ["lognormal", "power"])
@pytest.mark.parametrize("skew", [1e3, 1e9])
def test_extreme_skew_gives_one_client_everything_above_min_size(law: str, skew: float):
    actual = sizes(Quantity(law=law, skew=skew), 1000, 10)
    assert sorted(actual.tolist()) == [10] * 9 + [910]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=15),
    st.integers(0, 9),
    st.integers(0, 500),
    st.integers(0, 100),
)
def test_sizes_follow_the_law_above_min_size(weights: list[float], min_size: int, beyond: int, seed: int):
    weights = np.array([*weights, 1.0])
    total = min_size * len(weights) + beyond
    actual = sizes_by_weight(total, weights, min_size, generator(seed))
    assert actual.sum() == total and actual.min() >= min_size
    low, high = 0.0, float(total) + 1  # the factor by bisection
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(min_size, middle * weights).sum() < total else (low, middle)
    assert (np.abs(actual - np.maximum(min_size, low * weights)) < 1 + 1e-6).all()


def test_the_samples_of_a_client_are_drawn_at_random():
    labels = np.repeat(np.arange(4), 1000)
    shards = Quantity(skew=0.5).train(Labelled(4000, labels), 5, generator(0))
    shares = histogram(shards, labels, 4) / shards.sizes[:, None]
    assert np.abs(shares - 0.25).max() < 0.15


def test_too_few_samples_for_min_size_are_refused():
    with pytest.raises(InputError, match="write partition.min_size=9 or less"):
        sizes(Quantity(), 99, 10)
