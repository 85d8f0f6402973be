"""Dirichlet label skew: its distribution, its extremes, and its termination."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.partitions import Dirichlet, Labelled, histogram
from fedlit.partitions.label_skew import dirichlet
from fedlit.randomness import generator

LABELS = np.repeat(np.arange(10), 1000)
DATA = Labelled(10_000, LABELS, 10)


def counts(partition: Dirichlet, clients: int, seed: int = 0, data: Labelled = DATA) -> np.ndarray:
    return histogram(partition.train(data, clients, generator(seed)), data.labels, 10)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_proportions_are_dirichlet(alpha: float):
    clients = 20
    shares = np.concatenate([counts(Dirichlet(alpha, min_size=0), clients, seed).ravel() / 1000 for seed in range(100)])
    mean = 1 / clients
    variance = mean * (1 - mean) / (clients * alpha + 1)  # of a share under Dirichlet(alpha, ..., alpha)
    assert shares.mean() == pytest.approx(mean)
    assert shares.var() == pytest.approx(variance, rel=0.1)
    numpys = np.random.default_rng(0).dirichlet([alpha] * clients, 1000).ravel()
    quantiles = [0.3, 0.6, 0.9, 0.99]
    assert np.quantile(shares, quantiles) == pytest.approx(np.quantile(numpys, quantiles), rel=0.15, abs=2e-3)


def test_tiny_alpha_gives_each_class_to_one_client():
    actual = counts(Dirichlet(alpha=1e-6, min_size=0), 30)
    assert ((actual > 0).sum(axis=0) == 1).all()
    holders = {int(k) for seed in range(60) for k in counts(Dirichlet(1e-6, min_size=0), 30, seed).argmax(axis=0)}
    assert holders == set(range(30))


def test_huge_alpha_shares_each_class_equally():
    assert np.ptp(counts(Dirichlet(alpha=1e6, min_size=0), 7)) <= 2  # 142.9 each, and a draw within 0.2 of it


def test_huge_alpha_with_more_clients_than_samples_of_a_class_mixes_the_classes():
    actual = counts(Dirichlet(alpha=1e6, min_size=0), 2000)  # half a sample of each class
    assert actual.max() == 1
    assert len(np.unique(actual @ (2 ** np.arange(10)))) > 30  # not always the same clients
    assert actual.sum(axis=1).var() == pytest.approx(2.5, rel=0.2)  # ten independent halves


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1, 1e6])
@pytest.mark.parametrize("min_size", [0, 1, 10, 100])
def test_every_client_has_min_size_samples(alpha: float, min_size: int):
    actual = counts(Dirichlet(alpha, min_size), 100)
    assert actual.sum(axis=1).min() >= min_size
    assert (actual.sum(axis=0) == 1000).all()


def test_proportions_are_drawn_again_before_the_repair():
    def short(draws: int, seed: int) -> int:
        """The number of clients with exactly min_size samples, which a repair gives."""
        return int((counts(Dirichlet(0.5, 400, draws), 10, seed).sum(axis=1) == 400).sum())

    assert sum(short(1, seed) for seed in range(60)) > 10 * sum(short(50, seed) for seed in range(60))


def test_too_large_a_min_size_is_refused():
    with pytest.raises(InputError, match="write partition.min_size=100 or less"):
        Dirichlet(min_size=101).train(DATA, 100, generator(0))


def test_classes_without_samples_and_a_missing_count_are_accepted():
    labels = np.array([0, 4, 4, 9] * 50)
    shards = Dirichlet(min_size=1).train(Labelled(200, labels), 5, generator(0))
    assert histogram(shards, labels, 10).sum(axis=0).tolist() == [50, 0, 0, 0, 100, 0, 0, 0, 0, 50]


@pytest.mark.parametrize("alpha", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_proportions_are_finite(alpha: float):
    shares = dirichlet(1000, alpha, generator(0))
    assert np.isfinite(shares).all() and shares.max() == 1 and shares.min() >= 0
