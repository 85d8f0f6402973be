"""The fixed split into training and test samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedlit.data.split import stratified


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=200),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_every_sample_is_on_one_side_and_each_class_is_split_by_the_fraction(
    labels: list[int], fraction: float, seed: int
) -> None:
    y = np.array(labels)
    train, test = stratified(y, fraction, np.random.default_rng(seed))
    assert sorted([*train, *test]) == list(range(len(y)))
    for label in set(labels):
        assert (y[test] == label).sum() == round(labels.count(label) * fraction)


def test_the_test_samples_depend_on_the_generator() -> None:
    y = np.zeros(1000, dtype=int)
    _, test = stratified(y, 0.5, np.random.default_rng(0))
    assert abs(test.mean() - 499.5) < 50  # neither the first nor the last half
    assert not np.array_equal(test, stratified(y, 0.5, np.random.default_rng(1))[1])
