"""trainer.compile: a traced step gives the same numbers, and a step of which a trace would not runs untraced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import kept
from tests.slow import some_slow
from tests.training.module_kinds.facts import FACTS
from tests.training.test_equality import MODULES, run
from tests.training.test_module_kinds import averaged, remade, worker

QUICK = [(module, 1) for module in ("batch_norm", "dropout")]  # each size of a batch takes seconds to trace


@pytest.mark.parametrize(("module", "rounds"), some_slow([*QUICK, *((module, 3) for module in MODULES)], QUICK))
def test_a_traced_step_gives_the_same_numbers(module: str, rounds: int, tmp_path: Path) -> None:
    options = {"rounds": rounds, "kind": VectorizedTrainer, "stack": "always"}
    plain = run(tmp_path, "fedavg", module, **options)
    traced = run(tmp_path, "fedavg", module, **options, compile="trace")
    traces = traced.engine.local_worker.setup.traces
    sizes = {shapes[0][0][0] for _, _, *shapes in traces}  # of batches: the full ones and the smaller, last ones
    assert len(sizes) > 1 and all(traces.values())
    for name, value in kept(plain).items():
        torch.testing.assert_close(kept(traced)[name], value, rtol=0, atol=1e-12, equal_nan=True)


NUMBERS = ["batch_idx", "current_epoch", "round", "global_step", "num_training_batches"]


@pytest.mark.parametrize("name", some_slow(NUMBERS, ["current_epoch", "global_step", "num_training_batches"]))
def test_a_step_that_uses_a_number_of_the_fit_is_not_traced(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case = FACTS[name]
    vectorized = worker(VectorizedTrainer, remade(case), case.samples(), compile="trace")
    result = averaged(vectorized)
    assert not any(vectorized.setup.traces.values())
    assert len([r for r in caplog.records if r.getMessage().startswith("trainer.compile")]) == 1
    expected = averaged(worker(VectorizedTrainer, remade(case), case.samples()))
    assert all(torch.equal(result[key], value) for key, value in expected.items())


@pytest.mark.slow
def test_a_trace_that_cannot_be_compiled_runs_uncompiled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = run(tmp_path, "scaffold", "dropout", kind=VectorizedTrainer)
    traced = run(tmp_path, "scaffold", "dropout", kind=VectorizedTrainer, compile="default")
    assert [r for r in caplog.records if "runs as a trace only" in r.getMessage()]
    torch.testing.assert_close(traced.weights, plain.weights, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["mlp", "batch_norm"])
def test_a_compiled_step_gives_the_same_numbers(module: str, tmp_path: Path) -> None:
    plain = run(tmp_path, "scaffold", module, kind=VectorizedTrainer)
    compiled = run(tmp_path, "scaffold", module, kind=VectorizedTrainer, compile="default")
    assert any(compiled.engine.local_worker.setup.traces.values())
    torch.testing.assert_close(compiled.weights, plain.weights, rtol=1e-9, atol=1e-9)
