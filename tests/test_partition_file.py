"""partition.npz: every sample of a run with its client, in arrays that need no fedlit to be read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedlit
from fedlit import federation_loop, partition_file
from fedlit.clients import Clients
from fedlit.data import DataSource, TensorSamples
from fedlit.partition_file import read_partition, write_partition
from fedlit.partitions import Shards
from tests.slow import some_slow
from tests.small_runs import command, saved

QUICK = [
    *("clients=4", "rounds=1", "threads=1", "device=cpu", "logger=none", "progress=none", "model=logistic"),
    *("server_samples=30", "data.public=20", "evaluation.client_validation=0.25", "hydra.run.dir=run"),
]
CASES = ["partition=dirichlet", "evaluation.client_test=0.5", "aggregator=centralized", "aggregator=ditto store=disk"]


@pytest.mark.parametrize("words", some_slow(CASES, CASES[1:3]))
def test_each_training_sample_is_in_one_place(in_folder: Path, words: str) -> None:
    assert command(*QUICK, *words.split()) == 0
    arrays = np.load("run/partition.npz")
    cut = "client_test" in words
    training = ["train", "validation", "server", "public", *(["test"] if cut else [])]
    together = np.concatenate([arrays[part] for part in training])
    assert sorted(together.tolist()) == list(range(1438))
    if not cut:
        assert sorted(arrays["test"].tolist()) == list(range(359))
    assert (len(arrays["server"]), len(arrays["public"])) == (30, 20)
    ends = {part: arrays[f"{part}_ends"] for part in ("train", "validation", "test")}
    assert all(len(of_part) == 5 and of_part[0] == 0 for of_part in ends.values())
    assert str(arrays["data"]).startswith("digits: ")
    assert f"of the {'training set of 1,438' if cut else 'test set of 359'} samples" in str(arrays["data"])
    listed = fedlit.load("run").partition
    assert (
        repr(listed).startswith(f"<samples of 4 clients, train: {len(arrays['train'])} (") and len(repr(listed)) < 200
    )
    for part, of_part in ends.items():
        for client in range(4):
            assert listed[part][client].tolist() == arrays[part][of_part[client] : of_part[client + 1]].tolist()


def test_the_first_weights_stay_whatever_is_kept(in_folder: Path) -> None:
    """They are those of the seed, are not counted in checkpoint.keep, and no run goes on from them."""
    assert command(*QUICK, "rounds=4", "checkpoint.every=0", "checkpoint.keep=1", "aggregator=ditto", "store=disk") == 0
    checkpoints = Path("run/checkpoints")
    assert {path.name for path in checkpoints.glob("*round_*")} == {"round_0000", "round_0004"}
    first = saved(Path("run"), 0)
    assert first["round"] == 0 and first["clients"] == {}
    assert not torch.equal(*(saved(Path("run"), n)["server"]["model"]["__model__"][0] for n in (0, 4)))
    assert command(*QUICK, "hydra.run.dir=other", "lr_schedule=cosine", "local_epochs=2") == 0
    same = [saved(Path(run), 0)["server"]["model"]["__model__"][0] for run in ("run", "other")]
    assert torch.equal(*same)


def test_a_run_that_was_stopped_before_its_first_round_begins_again(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(federation_loop, "federate", fail)
        assert command(*QUICK) == 1
    assert Path("run/checkpoints/round_0000").is_dir()
    assert command(*QUICK, "seed=4") == 0  # the same folder, because no round was completed
    assert command(*QUICK, "seed=4", "hydra.run.dir=alone") == 0
    parts = [read_partition(Path(run) / "partition.npz")["train"] for run in ("run", "alone")]
    assert all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))
    first = [saved(Path(run), 0)["server"]["model"]["__model__"][0] for run in ("run", "alone")]
    assert torch.equal(*first)


def million() -> tuple[Clients, DataSource]:
    sizes = np.full(1_000_000, 5)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    shards = Shards(np.random.default_rng(0).permutation(offsets[-1]), offsets)
    none = Shards(np.empty(0, np.int64), np.zeros(1_000_001, np.int64))
    data = DataSource("many", TensorSamples(torch.zeros(offsets[-1], 1)), TensorSamples(torch.zeros(1, 1)))
    return Clients(shards, none, none, 32, 1, np.empty(0, np.int64)), data


def test_a_million_clients_cost_a_moment_and_more_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clients, data = million()
    begin = time.process_time()
    write_partition(tmp_path, clients, data, tests_are_cut=False)
    assert time.process_time() - begin < 2  # 0.1 s on an idle core
    file = tmp_path / "partition.npz"
    assert file.stat().st_size < 40e6
    with np.load(file) as arrays:
        assert arrays["train"].dtype == np.int32 and np.array_equal(arrays["train"], clients.train.indices)
    file.unlink()
    monkeypatch.setattr(partition_file, "LARGEST", 2**20)
    write_partition(tmp_path, clients, data, tests_are_cut=False)
    assert not file.exists() and "partition.npz is not written: it would have 31 MiB" in caplog.text
