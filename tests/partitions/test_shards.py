"""Shards group samples by client, and count them."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.partitions import Shards, histogram

OWNER = np.array([2, 0, 2, 4, -1, 0, 2])


def test_from_owner_groups_samples_by_client():
    shards = Shards.from_owner(OWNER, 5)
    assert [shards[k].tolist() for k in range(5)] == [[1, 5], [], [0, 2, 6], [], [3]]
    assert shards.indices.dtype == shards.offsets.dtype == np.int64
    assert len(shards) == 5
    assert shards.sizes.tolist() == [2, 0, 3, 0, 1]
    assert shards.owners.tolist() == [0, 0, 2, 2, 2, 4]


@pytest.mark.parametrize("clients", [1, 3, 65_535, 65_536, 70_000, 3_000_000])
def test_many_clients_are_grouped_in_data_order(clients: int):
    owner = np.random.default_rng(0).integers(-1, clients, 5_000)
    shards = Shards.from_owner(owner, clients)
    expected = [i for _, i in sorted((k, i) for i, k in enumerate(owner.tolist()) if k >= 0)]
    assert shards.indices.tolist() == expected
    assert (np.diff(shards.offsets) == np.bincount(owner[owner >= 0], minlength=clients)).all()


def test_shards_may_be_empty():
    shards = Shards.from_owner(np.empty(0, np.int64), 3)
    assert shards.sizes.tolist() == [0, 0, 0]


def test_shards_are_views():
    shards = Shards.from_owner(OWNER, 5)
    assert np.shares_memory(shards[2], shards.indices)


@pytest.mark.parametrize("client", [-1, 5])
def test_an_unknown_client_is_an_index_error(client: int):
    with pytest.raises(IndexError, match="of 5"):
        Shards.from_owner(OWNER, 5)[client]


@pytest.mark.parametrize("owner", [[0, 5], [-2, 0]])
def test_owners_that_are_not_clients_are_refused(owner: list[int]):
    with pytest.raises(ValueError, match="-1 to 4"):
        Shards.from_owner(np.array(owner), 5)


def test_a_histogram_counts_samples_by_client_and_class():
    labels = np.array([1, 0, 1, 2, 2, 0, 0])
    counts = histogram(Shards.from_owner(OWNER, 5), labels, 4)
    assert counts.tolist() == [[2, 0, 0, 0], [0] * 4, [1, 2, 0, 0], [0] * 4, [0, 0, 1, 0]]


@pytest.mark.parametrize("clients", [slice(2), slice(1, 4), slice(3, None), slice(4, 2), slice(10)])
def test_a_histogram_of_a_slice_equals_its_rows(clients: slice):
    labels = np.array([1, 0, 1, 2, 2, 0, 0])
    shards = Shards.from_owner(OWNER, 5)
    assert histogram(shards, labels, 3, clients).tolist() == histogram(shards, labels, 3)[clients].tolist()


def test_a_histogram_refuses_a_slice_with_a_step():
    with pytest.raises(ValueError, match="step"):
        histogram(Shards.from_owner(OWNER, 5), np.zeros(7, int), 3, slice(None, None, 2))
