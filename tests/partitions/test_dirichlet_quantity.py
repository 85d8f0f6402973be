"""Label skew together with unequal sizes."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.partitions import Dirichlet, DirichletQuantity, Labelled, histogram
from fedlit.randomness import generator

LABELS = np.repeat(np.arange(10), 5000)
DATA = Labelled(50_000, LABELS, 10)


def counts(partition: Dirichlet | DirichletQuantity, seed: int = 0) -> np.ndarray:
    return histogram(partition.train(DATA, 40, generator(seed)), LABELS, 10)


def test_a_large_alpha_gives_the_law_of_sizes():
    actual = counts(DirichletQuantity(alpha=1e6, law="power", skew=1.0, min_size=0))
    sizes = np.sort(actual.sum(axis=1))[::-1]
    assert sizes[0] / sizes[9] == pytest.approx(10, rel=0.03)
    shares = actual / actual.sum(axis=1, keepdims=True)
    assert np.abs(shares - 0.1).max() < 0.02


def test_without_skew_the_partition_is_dirichlet():
    assert (counts(DirichletQuantity(alpha=0.3, skew=0.0, law="power")).sum(axis=0) == 5000).all()
    many = range(40)
    spread = np.mean([counts(DirichletQuantity(0.3, skew=0.0, min_size=0), s).std() for s in many])
    plain = np.mean([counts(Dirichlet(0.3, min_size=0), s).std() for s in many])
    assert spread == pytest.approx(plain, rel=0.1)


def test_small_clients_are_as_skewed_as_large_ones():
    largest = []
    for seed in range(40):
        actual = counts(DirichletQuantity(alpha=0.3, skew=1.0, min_size=50), seed)
        actual = actual[np.argsort(actual.sum(axis=1))]
        shares = actual.max(axis=1) / actual.sum(axis=1)
        largest.append((shares[:20].mean(), shares[20:].mean()))
    small, large = np.mean(largest, axis=0)
    assert small > 0.35 and large > 0.35  # 0.1 would be no skew
    assert abs(small - large) < 0.15


def test_sizes_differ_more_than_under_dirichlet():
    both = np.mean([counts(DirichletQuantity(2.0, min_size=0), s).sum(axis=1).std() for s in range(20)])
    plain = np.mean([counts(Dirichlet(2.0, min_size=0), s).sum(axis=1).std() for s in range(20)])
    assert both > 2.5 * plain
