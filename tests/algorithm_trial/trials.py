"""One trial of an algorithm on a small module, without a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.algorithm_trial import try_algorithm
from fedlit.messages.composition import chosen_reduction, run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.aggregators.federations import Running

TRAINERS = {"lightning": LightningTrainer, "vectorized": VectorizedTrainer}


def federation(folder: Path, trainer: str, net: pl.LightningModule | None = None, **options: Any) -> Running:
    return Running(folder, FedAvg(), net=net, kind=TRAINERS[trainer], **options)


def tried(algorithm: Aggregator, run: Running, server_samples: int = 0, **schedules: bool) -> None:
    run.federation.clients.server_samples = np.arange(server_samples)
    worker = run.engine.local_worker
    pipeline = Pipeline(algorithm, {}, chosen_reduction(algorithm, {}, None), run_weighting(algorithm, {}))
    try_algorithm(pipeline, run.federation.clients, worker, counters(worker.host.module), 0, **schedules)


def assert_tried_to_the_end(caplog: pytest.LogCaptureFixture) -> None:
    assert [record.getMessage() for record in caplog.records if "could not be tried" in record.getMessage()] == []


def log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fedlit.algorithm_trial.trial")
