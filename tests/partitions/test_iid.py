"""Equal sizes and random samples."""

from __future__ import annotations

import numpy as np

from fedlit.partitions import Iid, Labelled, histogram
from fedlit.randomness import generator


def test_sizes_differ_by_at_most_one():
    assert Iid().train(Labelled(11), 4, generator(0)).sizes.tolist() == [3, 3, 3, 2]


def test_clients_have_the_same_label_distribution():
    labels = np.repeat(np.arange(5), 2000)
    counts = histogram(Iid().train(Labelled(10_000, labels), 4, generator(0)), labels, 5)
    assert np.abs(counts - 500).max() < 90  # five standard deviations of a hypergeometric draw: 86


def test_sorted_data_give_mixed_clients():
    first = Iid().train(Labelled(10_000), 2, generator(0))[0]
    assert 2300 < np.count_nonzero(first < 5000) < 2700
