"""McMahan's sorted shards."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.partitions import Labelled, SortedShards, histogram
from fedlit.randomness import generator

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 60))  # as MNIST's 60,000, a hundredth
DATA = Labelled(600, LABELS, 10)


def test_two_pieces_give_two_classes_as_in_the_paper():
    shards = SortedShards().train(DATA, 100, generator(0))  # 200 pieces of 3
    assert (shards.sizes == 6).all()
    seen = (histogram(shards, LABELS, 10) > 0).sum(axis=1)
    assert seen.max() == 2 and np.mean(seen == 2) > 0.8


def test_pieces_are_consecutive_in_the_sorted_data():
    in_order = np.argsort(LABELS, kind="stable")
    pieces = {tuple(sorted(p)) for p in np.split(in_order, 20)}
    shards = SortedShards(shards_per_client=1).train(DATA, 20, generator(0))
    assert {tuple(shards[k]) for k in range(20)} == pieces


def test_pieces_are_dealt_at_random():
    owners = [SortedShards(1).train(DATA, 20, generator(seed))[0][0] for seed in range(40)]
    assert len(set(owners)) > 10


def test_more_pieces_than_samples_are_refused():
    with pytest.raises(InputError, match="write partition.shards_per_client=6 or less"):
        SortedShards(shards_per_client=7).train(DATA, 100, generator(0))
