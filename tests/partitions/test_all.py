"""Properties of every partition: each sample goes to one client, one seed gives one result, errors are clear."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.partitions import (
    Classes,
    Contiguous,
    Dirichlet,
    DirichletQuantity,
    Feature,
    Iid,
    Labelled,
    Natural,
    Partition,
    Quantity,
    SortedShards,
)
from fedlit.randomness import generator

CONF = Path(__file__).parents[2] / "conf" / "partition"
PARTITIONS = {
    "iid": Iid(),
    "contiguous": Contiguous(),
    "dirichlet": Dirichlet(min_size=1),
    "dirichlet, tiny alpha": Dirichlet(alpha=1e-6, min_size=1),
    "dirichlet, huge alpha": Dirichlet(alpha=1e6, min_size=0),
    "shards": SortedShards(shards_per_client=1),
    "classes": Classes(classes_per_client=2),
    "classes, power": Classes(sizes="power", skew=2.0),
    "quantity": Quantity(min_size=1),
    "quantity, power": Quantity(law="power", skew=2.5, min_size=0),
    "dirichlet_quantity": DirichletQuantity(min_size=1),
    "dirichlet_quantity, steep": DirichletQuantity(alpha=1e-3, law="power", skew=3.0, min_size=0),
    "natural": Natural(),
    "feature": Feature(),
    "feature over dirichlet": Feature(inner=Dirichlet(alpha=0.1, min_size=1)),
}
BY_LABEL = ["dirichlet", "shards", "classes", "classes, power", "dirichlet_quantity", "feature over dirichlet"]
LARGE = {  # a million clients over ten million samples: ten a client
    "iid": Iid(),
    "contiguous": Contiguous(),
    "dirichlet": Dirichlet(min_size=1),
    "dirichlet, all repaired": Dirichlet(alpha=0.05, min_size=10),
    "shards": SortedShards(),
    "classes": Classes(),
    "quantity": Quantity(min_size=1),
    "dirichlet_quantity": DirichletQuantity(min_size=1),
    "natural": Natural(),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Labelled, int, int]:
    """A data set with at least 3 classes and with sites, a number of clients, a seed."""
    classes = draw(st.integers(3, 12))
    size = draw(st.integers(20, 300))
    rng = generator(draw(st.integers(0, 1000)), "case")
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, size) ** 2 // classes])
    labels = rng.permutation(labels)
    clients = draw(st.integers(6, 20))
    sites = rng.permutation(np.arange(len(labels)) % 20 * 3)
    return Labelled(len(labels), labels, classes, sites), clients, draw(st.integers(0, 2**32))


@pytest.mark.parametrize("partition", PARTITIONS.values(), ids=PARTITIONS.keys())
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_each_sample_goes_to_exactly_one_client(partition: Partition, case: tuple[Labelled, int, int]):
    data, clients, seed = case
    shards = partition.train(data, clients, generator(seed))
    assert len(shards) == clients
    assert np.sort(shards.indices).tolist() == list(range(data.size))
    assert shards.offsets[0] == 0 and shards.offsets[-1] == data.size
    least = getattr(getattr(partition, "inner", partition), "min_size", 0)
    assert min(len(shards[k]) for k in range(clients)) >= least


@pytest.mark.parametrize("partition", PARTITIONS.values(), ids=PARTITIONS.keys())
@settings(max_examples=40, deadline=None)
@given(case=cases(), tests=st.integers(0, 80))
def test_each_test_sample_goes_to_exactly_one_client(partition: Partition, case: tuple[Labelled, int, int], tests: int):
    data, clients, seed = case
    pick = generator(seed, "pick").integers(0, data.size, tests)
    test = Labelled(tests, data.labels[pick], data.classes, data.sites[pick])
    shards = partition.train(data, clients, generator(seed))
    split = partition.test(test, data, shards, generator(seed, "test"))
    assert len(split) == clients
    assert np.sort(split.indices).tolist() == list(range(tests))


@pytest.mark.parametrize("partition", PARTITIONS.values(), ids=PARTITIONS.keys())
def test_one_seed_always_gives_the_same_shards(partition: Partition):
    data = random_data(1000)
    first, again, other = (partition.train(data, 15, generator(seed)) for seed in (3, 3, 4))
    assert (first.indices == again.indices).all() and (first.offsets == again.offsets).all()
    if not isinstance(partition, Contiguous):
        assert (first.indices != other.indices).any()
    test = random_data(200)
    a, b = (partition.test(test, data, first, generator(5)) for _ in range(2))
    assert (a.indices == b.indices).all() and (a.offsets == b.offsets).all()


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("*.yaml")))
def test_each_option_gives_a_partition_with_the_defaults_of_its_class(name: str):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    if "defaults" in config:  # a list for Hydra's composition
        config = {**config, "inner": {"_target_": "fedlit.partitions.Iid"}}
        del config["defaults"]
    partition = instantiate(config)
    data = random_data(1000)
    assert len(partition.train(data, 20, generator(0))) == 20
    assert partition == type(partition)(), "the defaults of the file and of the class are the same"


@pytest.mark.parametrize("partition", PARTITIONS.values(), ids=PARTITIONS.keys())
def test_more_clients_than_samples_are_refused(partition: Partition):
    with pytest.raises(InputError, match="clients=31 is more than the 30 training samples; write clients=30 or fewer."):
        partition.train(random_data(30), 31, generator(0))


@pytest.mark.parametrize("name", BY_LABEL)
def test_a_partition_by_label_refuses_data_without_labels(name: str):
    data = Labelled(100, sites=np.arange(100) % 20)
    with pytest.raises(InputError, match="write partition=iid, contiguous, quantity, natural or feature"):
        PARTITIONS[name].train(data, 10, generator(0))


@pytest.mark.parametrize("name", [n for n in PARTITIONS if n.split(",")[0] not in BY_LABEL])
def test_other_partitions_need_no_labels(name: str):
    data, test = Labelled(100, sites=np.arange(100) % 20), Labelled(50, sites=np.arange(50) % 20)
    shards = PARTITIONS[name].train(data, 10, generator(0))
    split = PARTITIONS[name].test(test, data, shards, generator(1))
    assert np.sort(split.indices).tolist() == list(range(50))


@pytest.mark.parametrize("partition", LARGE.values(), ids=LARGE.keys())
def test_a_hundred_thousand_clients_hold_each_sample_once(partition: Partition):
    split_many(partition, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("partition", LARGE.values(), ids=LARGE.keys())
def test_a_million_clients_take_less_than_half_a_minute_and_a_gibibyte(partition: Partition):
    seconds, mebibytes = measured(partition, 1_000_000)
    assert seconds < 30
    assert mebibytes < 1024


def split_many(partition: Partition, clients: int):
    data, test = random_data(10 * clients, sites=clients), random_data(clients // 10, sites=clients)
    shards = partition.train(data, clients, generator(0))
    seen = np.zeros(data.size, np.int64)
    np.add.at(seen, shards.indices, 1)
    assert (seen == 1).all()
    assert shards.sizes.min() >= getattr(partition, "min_size", 0)
    split = partition.test(test, data, shards, generator(1))
    assert len(np.unique(split.indices)) == len(split.indices) <= test.size


def measured(partition: Partition, clients: int) -> tuple[float, float]:
    """Seconds and peak memory in MiB of both splits, without the data (tracemalloc counts NumPy's arrays)."""
    data, test = random_data(10 * clients, sites=clients), random_data(clients // 10, sites=clients)
    tracemalloc.start()
    start = time.perf_counter()
    shards = partition.train(data, clients, generator(0))
    partition.test(test, data, shards, generator(1))
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 2**20


def random_data(size: int, sites: int = 20) -> Labelled:
    """Ten classes, and sites that all have samples if the size allows."""
    rng = np.random.default_rng(size)
    return Labelled(size, rng.integers(0, 10, size), 10, rng.permutation(np.arange(size) % sites))
