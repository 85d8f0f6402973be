"""A trial of a large module is short, and finds the same mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from fedlit.aggregators import FedAvg, FedProx
from fedlit.algorithm_trial import trees, trial_size
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from tests.aggregators.federations import WIDTH, Net
from tests.algorithm_trial.mistakes import MISTAKES, STACKED_ONLY
from tests.algorithm_trial.right_algorithms import RIGHT
from tests.algorithm_trial.trials import assert_tried_to_the_end, federation, log_all, tried
from tests.slow import some_slow


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules and tensors of any size."""
    monkeypatch.setattr(trial_size, "_MOST_WEIGHTS", 0)
    monkeypatch.setattr(trees, "_LARGEST", 0)


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
def test_a_short_trial_finds_every_mistake(trainer: str, tmp_path: Path) -> None:
    run, missed = federation(tmp_path, trainer), []
    for algorithm, pattern in MISTAKES.items():
        if trainer == "lightning" and algorithm in STACKED_ONLY:
            continue
        try:
            tried(algorithm(), run)
            missed.append(algorithm.__name__)
        except InputError as error:
            assert re.search(pattern, str(error))
    assert missed == []


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
def test_right_algorithms_pass_a_short_trial(trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log_all(caplog)
    run = federation(tmp_path, trainer)
    for algorithm in RIGHT:
        tried(algorithm(), run)
    assert_tried_to_the_end(caplog)


class Steps(Net):
    """Counts the samples that it is trained on."""

    seen: list[int] = []  # noqa: RUF012

    def training_step(self, batch, batch_idx):
        Steps.seen.append(len(batch[0]))
        return super().training_step(batch, batch_idx)


class Wide(Steps):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, 200_000), nn.Linear(200_000, 5))


@pytest.mark.parametrize(("module", "samples"), [(Steps, 3 * 12), (Wide, 2 * 2)])
def test_a_large_module_is_trained_on_few_samples(module: type[Steps], samples: int, tmp_path: Path) -> None:
    run = federation(tmp_path, "lightning", module())
    Steps.seen.clear()
    tried(FedAvg(), run)
    trained_on = sum(Steps.seen)
    Steps.seen.clear()
    run.engine.local_worker.for_trial("64-true")
    assert trained_on - sum(Steps.seen) == samples  # without the probe of a module


@pytest.mark.parametrize("shape", [(3, 32, 32), (5000,)])
def test_large_samples_make_a_trial_short(shape: tuple[int, ...], tmp_path: Path) -> None:
    host = federation(tmp_path, "lightning").engine.local_worker.host
    assert trial_size.trial_size(host).exact
    samples = TensorSamples(torch.zeros(4, *shape), torch.zeros(4, dtype=torch.long))
    with (
        mock.patch.object(host.data, "train", samples),
        mock.patch.object(trial_size, "_MOST_WORK", host.layout.size * int(np.prod(shape)) - 1),
    ):
        assert not trial_size.trial_size(host).exact


class Half(Net):
    def __init__(self) -> None:
        super().__init__(0.0, True)
        self.body = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 5))


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32-true"])
@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
def test_rounding_of_16_bits_is_no_mistake(
    trainer: str, precision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log_all(caplog)
    run = federation(tmp_path, trainer, Half())
    run.engine.local_worker.host.options.precision = precision
    for algorithm in (FedAvg(), FedProx(0.1)):
        tried(algorithm, run)
    assert_tried_to_the_end(caplog)
