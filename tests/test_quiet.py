"""Warnings of Lightning reach no user: they concern its Trainers, of which a run makes thousands of fits."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.slow import some_slow
from tests.small_runs import OPTIONS, go, small

QUICK = ["fedavg", "local"]  # with and without a global model: the first measurement is another one


@pytest.mark.parametrize("trainer", OPTIONS["trainer"])
@pytest.mark.parametrize("aggregator", some_slow(OPTIONS["aggregator"], QUICK))
def test_a_run_shows_no_warning_of_lightning(aggregator: str, trainer: str, tmp_path: Path) -> None:
    changes = {"clients": 3, "evaluation.client_validation": 0.2}
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        go(small([f"aggregator={aggregator}", f"trainer={trainer}"], changes), tmp_path / "run")
    assert [f"{w.filename}: {w.message}" for w in shown if "lightning" in Path(w.filename).parts] == []
