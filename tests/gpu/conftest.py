"""These tests need a GPU: `scripts/on_gpu.sh` runs them. `DEVICE=cpu` tries them on the CPU, where some are skipped."""

from __future__ import annotations

import pytest
import torch

from tests.gpu.federation import DEVICE


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU; DEVICE=cpu tries it on the CPU")


@pytest.fixture
def real_gpu() -> None:
    """For what no CPU can show."""
    if DEVICE == "cpu":
        pytest.skip("needs a GPU")
