"""The order and the cost of a cohort."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fedlit.clients import Clients
from fedlit.partitions import Shards
from fedlit.randomness import generator
from fedlit.samplers import Poisson, Sampler, Uniform
from fedlit.server_round import ServerRound


def clients_of(sizes: np.ndarray) -> Clients:
    shards = Shards(np.arange(sizes.sum()), np.concatenate([[0], np.cumsum(sizes)]))
    none = Shards(np.empty(0, np.int64), np.zeros(len(sizes) + 1, np.int64))
    return Clients(shards, none, none, 4, 1, np.empty(0, np.int64))


def test_cohorts_are_sorted_by_shard_size_then_by_number() -> None:
    clients = clients_of(np.array([3, 5, 1, 5, 3, 9]))
    assert clients.longest_first([4, 0, 1, 2, 3]) == [1, 3, 0, 4, 2]
    assert clients.longest_first(iter([])) == []


@pytest.mark.parametrize("sampler", [Uniform(number=100), Poisson(1e-4)], ids=["uniform", "poisson"])
def test_the_memory_of_a_cohort_does_not_grow_with_the_clients(sampler: Sampler) -> None:
    """One number for each client would be eight million bytes."""
    clients = clients_of(np.full(1_000_000, 3))
    rng = generator(0, "cohort", 1)
    tracemalloc.start()
    try:
        asked = sampler(1, rng, len(clients), lambda numbers: np.zeros(len(numbers)))
        cohort = clients.longest_first(asked)
        jobs = clients.jobs(ServerRound(1, 0, cohort, len(clients)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 50 < len(jobs) < 150 and all(len(job.train) == 3 for job in jobs)
    assert peak < 200_000
