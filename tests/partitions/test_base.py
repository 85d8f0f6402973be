"""The default test split: each class in proportion to the clients' training counts of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.partitions import Iid, Labelled, Partition, Shards
from fedlit.randomness import generator


def split(train_labels: list[int], owner: list[int], clients: int, test_labels: list[int], seed: int = 0):
    """The test labels of each client."""
    train = Labelled(len(train_labels), np.array(train_labels, int))
    test = Labelled(len(test_labels), np.array(test_labels, int))
    shards = Shards.from_owner(np.array(owner), clients)
    actual = Iid().test(test, train, shards, generator(seed))
    return [sorted(test.labels[actual[k]].tolist()) for k in range(clients)]


def test_test_samples_are_divided_in_exact_proportion():
    train, owner = [0] * 6 + [1] * 4, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert split(train, owner, 3, [0] * 3 + [1] * 2) == [[0, 0], [0, 1], [1]]


def test_rounding_goes_by_the_largest_remainder():
    # 10 samples for counts 6, 3, 2: shares 5.45, 2.73, 1.82, so the last two are rounded up
    train, owner = [0] * 11, [0] * 6 + [1] * 3 + [2] * 2
    assert [len(t) for t in split(train, owner, 3, [0] * 10)] == [5, 3, 2]


def test_ties_are_drawn_at_random():
    gets = [k for seed in range(300) for k, t in enumerate(split([0] * 6, [0, 1, 2, 3, 4, 5], 6, [0], seed)) if t]
    counts = Counter(gets)
    assert len(gets) == 300 and sorted(counts) == list(range(6))
    assert min(counts.values()) > 25  # 50 on average


def test_a_class_without_training_samples_is_divided_by_size():
    assert [len(t) for t in split([0] * 9, [0] * 6 + [1] * 3, 2, [7] * 6)] == [4, 2]


def test_without_labels_test_samples_are_divided_by_size():
    train, test = Labelled(9), Labelled(6)
    shards = Shards.from_owner(np.array([0] * 6 + [1] * 3), 2)
    assert Iid().test(test, train, shards, generator(0)).sizes.tolist() == [4, 2]


def test_the_test_samples_of_a_client_are_drawn_at_random():
    train, test = Labelled(4, np.zeros(4, int)), Labelled(100, np.zeros(100, int))
    shards = Shards.from_owner(np.array([0, 0, 1, 1]), 2)
    first = Iid().test(test, train, shards, generator(0))[0]
    assert len(first) == 50
    assert 10 < np.count_nonzero(first < 50) < 40


def test_a_subclass_needs_only_owners():
    class Alternating(Partition):
        def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
            return np.arange(data.size) % clients

    shards = Alternating().train(Labelled(7), 3, generator(0))
    assert [shards[k].tolist() for k in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert Alternating().transform(0) is None
    assert Alternating().clients(Labelled(7)) is None


def test_owners_of_a_subclass_are_checked():
    class Wrong(Partition):
        def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
            return np.arange(data.size)

    with pytest.raises(ValueError, match="0 to 6"):
        Wrong().train(Labelled(7), 3, generator(0))


def test_no_samples_for_the_clients_is_refused():
    with pytest.raises(InputError, match="the clients get none; lower server_samples"):
        Iid().train(Labelled(0), 3, generator(0))
