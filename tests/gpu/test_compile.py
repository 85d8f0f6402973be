"""A traced step, a compiled one and CUDA graphs give the numbers of the plain step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu.federation import CASES, TRAINERS, cpu_numbers, largest_difference, numbers, run

pytestmark = pytest.mark.gpu


def test_a_traced_step_gives_the_numbers_of_the_plain_one(tmp_path: Path) -> None:
    words = (*CASES["fedavg"], *TRAINERS["vectorized"], "trainer.compile=trace")
    assert largest_difference(numbers(run(tmp_path / "run", *words)), cpu_numbers()["fedavg"]) < 1e-9


def test_cuda_graphs_give_the_numbers_of_the_plain_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    """Without dropout: torch does not compile its counter-based draws everywhere, and the run then warns and traces."""
    from torch._dynamo.utils import counters  # slow to import, and these tests are collected without a GPU, too

    words = (*CASES["fedavg"], *TRAINERS["vectorized"], "+model.dropout=0.0")
    plain = numbers(run(tmp_path / "plain", *words))
    with caplog.at_level(logging.WARNING, logger="fedlit"):
        compiled = numbers(run(tmp_path / "compiled", *words, "trainer.compile=reduce-overhead"))
    record_property("cudagraph_skips", counters["inductor"]["cudagraph_skips"])  # in tests.xml
    assert largest_difference(compiled, plain) < 1e-9
    assert "trainer.compile" not in caplog.text  # the run warns where a step is not compiled
