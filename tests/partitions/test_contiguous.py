"""Consecutive blocks, of the training set and of the test set."""

from __future__ import annotations

import numpy as np

from fedlit.partitions import Contiguous, Labelled
from fedlit.randomness import generator


def test_clients_hold_consecutive_blocks():
    shards = Contiguous().train(Labelled(11), 4, generator(0))
    assert [shards[k].tolist() for k in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]


def test_the_test_set_is_cut_into_blocks_for_any_labels():
    train, test = Labelled(8, np.arange(8)), Labelled(4, np.array([7, 7, 0, 0]))
    shards = Contiguous().train(train, 4, generator(0))
    split = Contiguous().test(test, train, shards, generator(0))
    assert [split[k].tolist() for k in range(4)] == [[0], [1], [2], [3]]


def test_fewer_test_samples_than_clients_leave_some_clients_without():
    train = Labelled(8)
    split = Contiguous().test(Labelled(2), train, Contiguous().train(train, 4, generator(0)), generator(0))
    assert split.sizes.tolist() == [1, 1, 0, 0]
