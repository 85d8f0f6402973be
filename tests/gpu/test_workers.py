"""Two worker processes on one GPU give the numbers of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.federation import CASES, TRAINERS, cpu_numbers, largest_difference, numbers, run

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("trainer", TRAINERS)
def test_two_workers_on_one_device_give_the_numbers_of_one_process(tmp_path: Path, trainer: str) -> None:
    words = (*CASES["fedper"], *TRAINERS[trainer], "engine=processes", "engine.workers=2")
    if trainer == "vectorized":
        words = (*words, "trainer.chunk=2")  # chunks for both workers
    trained = numbers(run(tmp_path / "run", *words))
    assert largest_difference(trained, cpu_numbers()["fedper"]) < 1e-9
