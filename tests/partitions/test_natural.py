"""Clients by site, writer or subject."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.partitions import Labelled, Natural
from fedlit.randomness import generator

SITES = np.array([3, 0, 3, 5, 5, 5, 0, 8, 3])
DATA = Labelled(9, np.array([0, 1, 0, 1, 0, 1, 0, 1, 0]), 2, SITES)


def test_each_client_is_a_site():
    shards = Natural().train(DATA, 4, generator(0))
    assert [shards[k].tolist() for k in range(4)] == [[1, 6], [0, 2, 8], [3, 4, 5], [7]]


def test_fewer_clients_hold_whole_sites():
    sites = np.random.default_rng(0).integers(0, 30, 500)
    data = Labelled(500, sites=sites)
    shards = Natural().train(data, 7, generator(0))
    held = [set(sites[shards[k]].tolist()) for k in range(7)]
    assert sum(len(h) for h in held) == len(set.union(*held)) == 30
    assert {len(h) for h in held} == {4, 5}
    other = Natural().train(data, 7, generator(1))
    assert (other.indices != shards.indices).any()


def test_more_clients_than_sites_are_refused():
    with pytest.raises(InputError, match="clients=5 is more than the 4 sites of the training set; write clients=4 or"):
        Natural().train(DATA, 5, generator(0))


def test_the_number_of_clients_is_the_number_of_sites():
    assert Natural().clients(DATA) == 4


@pytest.mark.parametrize("clients", [2, 4])
def test_test_samples_go_to_the_client_that_trains_on_their_site(clients: int):
    shards = Natural().train(DATA, clients, generator(0))
    client_of = {int(SITES[i]): k for k in range(clients) for i in shards[k]}
    test = Labelled(6, np.zeros(6, int), 2, np.array([8, 5, 4, 0, 8, 3]))  # no client trains on site 4
    split = Natural().test(test, DATA, shards, generator(1))
    actual = {int(i): k for k in range(clients) for i in split[k]}
    assert actual == {i: client_of[int(s)] for i, s in enumerate(test.sites) if s != 4}


@pytest.mark.parametrize("sites", [None, np.full(4, 99)])
def test_unknown_test_sites_are_divided_by_class(sites: np.ndarray | None):
    shards = Natural().train(DATA, 4, generator(0))
    split = Natural().test(Labelled(4, np.array([0, 0, 0, 0]), 2, sites), DATA, shards, generator(0))
    assert split.sizes.tolist()[1] >= 2  # three of the five training samples of class 0 are client 1's
    assert split.sizes.sum() == 4 and split.sizes[3] == 0


def test_data_without_sites_are_refused():
    with pytest.raises(InputError, match="names none; write partition=iid"):
        Natural().train(Labelled(9), 3, generator(0))


def test_small_and_large_site_numbers_give_the_same_clients() -> None:
    """Small numbers are counted, large ones are sorted."""
    sites = np.array([5, 0, 5, 2, 0, 7])
    small, large = (Natural()._sites(Labelled(6, sites=s)) for s in (sites, sites * 10**12 - 10))
    assert small[0].tolist() == [0, 2, 5, 7] and small[1].tolist() == large[1].tolist() == [2, 0, 2, 1, 0, 3]
    assert (large[0] == small[0] * 10**12 - 10).all()
