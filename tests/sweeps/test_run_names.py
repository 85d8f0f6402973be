"""Names of the runs of a sweep."""

from __future__ import annotations

import hashlib
import os

from fedlit.sweeps.run_names import run_names


def one(*words: str) -> str:
    [name] = run_names([words], [word.partition("=")[0] for word in words])
    return name


def test_a_name_has_the_swept_keys_in_their_order() -> None:
    jobs = [["clients=3", "seed=1", "aggregator=fedavg"], ["clients=3", "seed=2", "aggregator=scaffold"]]
    assert run_names(jobs, ["aggregator", "seed"]) == ["aggregator=fedavg,seed=1", "aggregator=scaffold,seed=2"]
    assert run_names([["clients=3"]], []) == ["run"]


def test_a_key_is_shortened_where_its_last_part_is_unique() -> None:
    assert one("partition.alpha=0.1", "seed=1") == "alpha=0.1,seed=1"
    assert one("partition.alpha=0.1", "aggregator.alpha=2") == "partition.alpha=0.1,aggregator.alpha=2"
    assert one("optimizer@aggregator.server_optimizer=adam", "+a.b=1") == "server_optimizer=adam,b=1"


def test_characters_that_need_quotes_are_replaced() -> None:
    assert one("data.file='my data/x.npz'", "model.hidden=[64, 32]") == "file=my_data_x.npz,hidden=64,32"
    assert one("name='$(rm) \"*\" <a>|b:c?'", "model.dropout=null") == "name=rm_a_b_c,dropout=null"
    assert one("optimizer.lr=1e-3", "name='grün'") == "lr=0.001,name=grün"


def test_a_list_of_options_has_no_brackets() -> None:
    assert one("uplink=[topk, clip]", "downlink=[]", "seed=1") == "uplink=topk+clip,downlink=none,seed=1"


def test_values_that_give_one_name_have_a_hash_each() -> None:
    names = run_names([["name='a/b'"], ["name='a_b'"], ["name='A_b'"], ["name=c"]], ["name"])
    assert names[0].startswith("name=a_b-") and len(names[0]) == len("name=a_b-") + 8
    assert len({name.casefold() for name in names}) == 4 and names[3] == "name=c"


def test_a_long_name_is_cut_and_has_a_hash_of_the_whole() -> None:
    long = "x" * 200
    names = run_names([[f"name={long}", "seed=1"], [f"name={long}", "seed=2"]], ["name", "seed"])
    assert {len(name) for name in names} == {120} and len(set(names)) == 2
    assert names[0].endswith(f"-{hashlib.sha256(f'name={long},seed=1'.encode()).hexdigest()[:8]}")
    assert one(f"name={'x' * 115}") == f"name={'x' * 115}"
    assert len(os.fsencode(one(f"name='{'字' * 110}'"))) <= 240


def test_a_name_does_not_depend_on_the_other_jobs() -> None:
    assert run_names([["seed=1"], ["seed=2"]], ["seed"])[0] == run_names([["seed=1"]], ["seed"])[0]
