"""A fixed number of classes for each client."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlit.errors import InputError
from fedlit.partitions import Classes, Labelled, histogram
from fedlit.partitions.classes import deal_classes
from fedlit.randomness import generator


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 60), st.integers(0, 100))
def test_each_client_is_dealt_different_classes_and_each_class_equally_often(
    classes: int, each: int, clients: int, seed: int
):
    each = min(each, classes)
    held = deal_classes(clients, each, classes, generator(seed))
    assert held.shape == (clients, each)
    assert all(len(set(row)) == each for row in held.tolist())
    holders = np.bincount(held.ravel(), minlength=classes)
    assert np.ptp(holders) <= 1


def test_every_pair_of_classes_occurs():
    pairs = {tuple(sorted(row)) for row in deal_classes(500, 2, 10, generator(0)).tolist()}
    assert len(pairs) == 45


@pytest.mark.parametrize("each", [1, 2, 3, 10])
def test_the_samples_of_a_class_are_divided_equally(each: int):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 97))
    actual = histogram(Classes(each).train(Labelled(970, labels, 10), 20, generator(0)), labels, 10)
    assert ((actual > 0).sum(axis=1) == each).all()
    for column in actual.T:
        assert column.sum() == 97 and np.ptp(column[column > 0]) <= 1


def test_only_classes_with_samples_are_dealt():
    labels = np.array([1, 5, 8] * 20)
    actual = histogram(Classes(2).train(Labelled(60, labels, 10), 6, generator(0)), labels, 10)
    assert ((actual > 0).sum(axis=1) == 2).all()


def test_too_few_clients_for_the_classes_are_refused():
    labels = np.arange(100) % 10
    with pytest.raises(
        InputError, match="leave some of the 10 classes without a client; write partition.classes_per_client=4"
    ):
        Classes(2).train(Labelled(100, labels, 10), 3, generator(0))
    with pytest.raises(InputError, match="classes_per_client=11 is more than the 10 classes"):
        Classes(11).train(Labelled(100, labels, 10), 3, generator(0))
