"""A run of the toy protocol from a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from fedlit.data import ColumnTable, DataSource, TensorSamples
from fedlit.vertical.experiment import run


def source(rows: int = 40, classes: bool = False, columns: bool = True) -> DataSource:
    draws = np.random.default_rng(5)
    values, target = draws.normal(size=(rows, 5)), draws.normal(size=rows)
    table = ColumnTable(
        "toy",
        ("a", "b", "c", "d", "e"),
        *(values[:-10], values[-10:]),
        *(np.array([f"p{i}" for i in range(rows - 10)]), np.array([f"p{i}" for i in range(rows - 10, rows)])),
        *((target[:-10] > 0, target[-10:] > 0) if classes else (target[:-10], target[-10:])),
        task="binary" if classes else "regression",
    )
    samples = [TensorSamples(torch.from_numpy(v).float(), torch.zeros(len(v))) for v in (values[:-10], values[-10:])]
    return DataSource("toy", *samples, columns=table if columns else None)


def configuration(**changes):
    """The settings of a small run; `changes` are by dotted key, with two underscores for the dot."""
    config = OmegaConf.create(
        {
            "protocol": {"_target_": "tests.vertical.toy.Means", "baselines": False},
            "cipher": {"_target_": "tests.vertical.toy.Stream"},
            "alignment": {"_target_": "fedlit.vertical.alignment.Same"},
            "columns": {"_target_": "fedlit.vertical.columns.Named", "parties": {"host": ["b", "c"], "guest": "rest"}},
            "data": {"_target_": "tests.vertical.toy_run.source"},
            "engine": {"_target_": "fedlit.engines.Serial", "on_failure": "raise"},
            "rounds": 3,
            "seed": 0,
            "stop": {"metric": None, "patience": None, "target": None},
            "targets": {},
            "checkpoint": {"every": 0, "keep": 2},
            "logger": {},
            "progress": "none",
            "threads": None,
            "name": None,
            "resume": None,
        }
    )
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=False)
    return config


def go(folder: Path, **changes):
    """The exit code of a run in the folder, its rows without times, and its summary."""
    folder.mkdir(exist_ok=True)
    code = run(configuration(**changes), folder, [])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    return code, [{n: v for n, v in row.items() if not n.startswith("time/")} for row in rows], summary
