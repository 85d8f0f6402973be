"""A small run, for the tests of loggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord
from fedlit.tracking import About


def about(folder: Path, rounds: int = 5, resumed_after: int = 0) -> About:
    """Three clients, two classes."""
    histogram = np.array([[3, 4], [0, 9], [5, 0]])
    config = {
        "clients": 3,
        "seed": 7,
        "name": None,
        "partition": {"_target_": "fedlit.partitions.Dirichlet", "alpha": 0.5, "min_size": None},
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1, "betas": [0.9, 0.99]},
        "aggregator": {"server_optimizer": {"_target_": "torch.optim.Adam", "lr": 1.0}},
        "engine": {"_target_": "fedlit.engines.Serial", "workers": 4},
    }
    return About(
        folder,
        "a run",
        config,
        rounds,
        resumed_after,
        histogram,
        histogram.sum(axis=1),
        ["cat", "dog"],
        {"data": "pets"},
    )


def row(number: int) -> dict[str, float | int]:
    """Metrics of a round, exact in float32; statistics over clients in every second round only."""
    row: dict[str, float | int] = {"global/test/accuracy": number / 8, "train/loss": 1 / 2**number, "cohort/lost": 1}
    if number % 2 == 0:
        row |= {"clients/received/accuracy/mean": 0.5, "clients/received/accuracy/std": 0.25}
    return row


def write_sweep(folder: Path, swept: dict[str, list[str]], jobs: Sequence[str]) -> None:
    """The record of a sweep whose jobs have one word each, and the words of each job in its folder."""
    records = [RecordedJob([word], word) for word in jobs]
    SweepRecord(list(jobs), "config", None, str(folder), swept, records).write(folder)
    for word in jobs:
        (folder / word / ".hydra").mkdir(parents=True)
        (folder / word / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([word, "threads=1"]))
