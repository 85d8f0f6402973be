"""A GPU gives the CPU's numbers in float64, for every algorithm, under both trainers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.federation import CASES, TRAINERS, cpu_numbers, largest_difference, numbers, run

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_gives_the_numbers_of_the_cpu(tmp_path: Path, case: str, trainer: str) -> None:
    trained = numbers(run(tmp_path / "run", *CASES[case], *TRAINERS[trainer]))
    assert largest_difference(trained, cpu_numbers()[case]) < 1e-9
