"""A traced step, a compiled one and CUDA graphs give the numbers of the plain step."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.gpu.federation import CASES, TRAINERS, cpu_numbers, largest_difference, numbers, run

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("mode", ["trace", "reduce-overhead"])
def test_a_compiled_step_gives_the_numbers_of_the_plain_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    words = (*CASES["fedavg"], *TRAINERS["vectorized"])
    with caplog.at_level(logging.WARNING):
        trained = numbers(run(tmp_path / "run", *words, f"trainer.compile={mode}"))
    assert largest_difference(trained, cpu_numbers()["fedavg"]) < 1e-9
    assert "trainer.compile" not in caplog.text  # the run warns where it falls back to another mode
