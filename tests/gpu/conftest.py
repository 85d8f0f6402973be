"""These tests need a GPU: `scripts/on_gpu.sh` runs them. `DEVICE=cpu` tries them on the CPU, where some are skipped."""

from __future__ import annotations

import signal

import pytest
import torch

from tests.gpu.federation import DEVICE

# A process that a shell started in the background ignores SIGINT; at it pytest would report what it has.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU; DEVICE=cpu tries it on the CPU")


@pytest.fixture
def real_gpu() -> None:
    """For what no CPU can show."""
    if DEVICE == "cpu":
        pytest.skip("needs a GPU")
