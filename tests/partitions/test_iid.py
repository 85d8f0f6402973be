"""Equal sizes, and every sample anywhere."""

from __future__ import annotations

import numpy as np

from fedlit.partitions import Iid, Labelled, histogram
from fedlit.randomness import generator


def test_sizes():
    assert Iid().train(Labelled(11), 4, generator(0)).sizes.tolist() == [3, 3, 3, 2]


def test_labels_are_alike():
    labels = np.repeat(np.arange(5), 2000)
    counts = histogram(Iid().train(Labelled(10_000, labels), 4, generator(0)), labels, 5)
    assert np.abs(counts - 500).max() < 90  # five standard deviations of a hypergeometric draw: 86


def test_order_of_the_data_does_not_matter():
    first = Iid().train(Labelled(10_000), 2, generator(0))[0]
    assert 2300 < np.count_nonzero(first < 5000) < 2700
