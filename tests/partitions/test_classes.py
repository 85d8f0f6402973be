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


def test_sizes_by_a_power_law_are_in_proportion_to_the_rank_of_a_client():
    labels = np.repeat(np.arange(10), 30_000)
    actual = histogram(Classes(2, "power", 1.0).train(Labelled(len(labels), labels, 10), 50, generator(0)), labels, 10)
    assert ((actual > 0).sum(axis=1) == 2).all() and (actual.sum(axis=0) == 30_000).all()
    # w_k is 1, 1/2, ... 1/50 in some order, and client k has w_k 30000 / (sum of w over the holders) of a class. The
    # ranks follow from the parts of classes that are linked by clients; all ranks from 1 to 50 have to come out.
    logs = np.full(50, np.nan)
    logs[0] = 0.0
    while np.isnan(logs).any():
        for parts in actual.T:
            holders = np.flatnonzero(parts)
            known = [k for k in holders if not np.isnan(logs[k])]
            if known:
                logs[holders] = logs[known[0]] + np.log(parts[holders] / parts[known[0]])
    np.testing.assert_allclose(np.sort(np.exp(logs.max() - logs)), np.arange(1, 51), rtol=0.05)


def test_a_power_law_of_one_class_gives_sizes_by_hand():
    labels = np.zeros(1100, np.int64)
    shards = Classes(1, "power", 1.0).train(Labelled(1100, labels, 1), 3, generator(0))
    assert sorted(shards.sizes.tolist()) == [200, 300, 600]  # 1100 over 1, 1/2, 1/3


def test_each_holder_gets_a_sample_of_a_steep_power_law_if_there_are_enough():
    labels = np.repeat(np.arange(5), 40)
    for skew in (0.0, 1.0, 8.0):
        actual = histogram(Classes(2, "power", skew).train(Labelled(200, labels, 5), 20, generator(1)), labels, 5)
        assert ((actual > 0).sum(axis=1) == 2).all() and (actual.sum(axis=0) == 40).all()
    few = histogram(Classes(1, "power", 1.0).train(Labelled(4, np.zeros(4, np.int64), 1), 4, generator(0)), labels, 5)
    assert few.sum() == 4
