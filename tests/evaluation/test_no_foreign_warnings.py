"""Measuring the clients' models shows no warning of Lightning."""

from __future__ import annotations

import warnings
from pathlib import Path

from fedlit.aggregators import FedBN
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Running


def test_a_stack_that_is_measured_before_a_global_model_is_quiet(tmp_path: Path) -> None:
    run = Running(tmp_path, FedBN(), norm=True, kind=VectorizedTrainer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = run.go().rows
    assert "clients/used/loss/mean" in rows[0]
    assert [str(warning.message) for warning in caught if "lightning" in warning.filename] == []
