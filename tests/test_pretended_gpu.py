"""The cases of `tests/pretended_gpu`, in a process of their own: a process that has the pretended device keeps it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_cases(marked: str) -> None:
    """Run the cases with this mark by pytest, and show its lines where one fails."""
    options = ["-m", marked, "-q", "--tb=short", "-p", "no:cacheprovider", "-o", "python_files=cases_*.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / "pretended_gpu")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_nothing_waits_for_a_pretended_gpu_in_a_loop() -> None:
    run_cases("not slow")


@pytest.mark.slow
def test_nothing_waits_for_a_pretended_gpu_in_a_loop_of_any_case() -> None:
    run_cases("slow")
