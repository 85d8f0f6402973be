"""What is measured depends on model, data and keys alone: not on trainer, chunk, engine or grouping of clients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.data import TensorSamples
from fedlit.evaluation.measure import Measure
from fedlit.metric_names import is_time
from tests.evaluation.measured_kinds import CLASSES, KINDS, WIDTH
from tests.evaluation.test_measure import parts_of, subject_of
from tests.slow import some_slow
from tests.small_runs import composed, go, small, write_npz
from tests.training.rounds import cut, numbers

SITES = (13, 4, 9, 6, 5)
EXAMPLE = numbers(4, WIDTH, CLASSES)

QUICK = [
    *("WeightedByEpoch", "CountsInABuffer", "MovesAFrozenTeacher", "NumpyNoise", "Variational", "GradientOfTheInput"),
    "LogsInValidation",
]


def run(name: str, folder: Path, trainer: str, engine: str = "serial", **changes: Any) -> dict[str, float | None]:
    """All numbers of a run's metrics.jsonl and clients.jsonl, without durations, in double precision."""
    data = write_npz(folder.parent / f"{folder.name}.npz", (WIDTH,), CLASSES, SITES, images=False)
    settings = {
        "data": composed("data=npz").config.data,
        "data.path": str(data),
        "partition": composed("partition=natural").config.partition,
        "model": {"_target_": f"tests.evaluation.measured_kinds.{name}"},
        "trainer": composed(f"trainer={trainer}").config.trainer,
        "trainer.precision": "64-true",
        "engine": composed(f"engine={engine}").config.engine,
        "logger": composed("logger=none").config.logger,
        "clients": len(SITES),
        "participation": 0.6,
        "rounds": 2,
        "local_epochs": 2,
        "batch_size": 4,
        "evaluation.client_validation": 0.2,
        "evaluation.each_epoch": True,
        "evaluation.batch_size": 2,
    }
    rows = go(small([], settings | changes), folder)
    file = folder / "clients.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return dict(leaves(rows, "round")) | dict(leaves(lines, "client"))


def leaves(value: Any, name: str) -> Any:
    """(name, number) of each number in nested dicts and lists."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not is_time(key) and key != "seconds":
                yield from leaves(part, f"{name} {key}")
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from leaves(part, f"{name} {i}")
    else:
        yield name, value


def assert_same(result: dict[str, float | None], expected: dict[str, float | None], tolerance: float = 1e-6) -> None:
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize("name", some_slow(KINDS, QUICK))
@pytest.mark.filterwarnings("ignore")
def test_both_trainers_measure_the_same_numbers(name: str, tmp_path: Path) -> None:
    """With chunk=2 a cohort of three is a stack of two and a client by itself."""
    lightning = run(name, tmp_path / "lightning", "lightning")
    assert any("test/loss" in number for number in lightning)
    assert all(value is not None and math.isfinite(value) for value in lightning.values())
    assert_same(run(name, tmp_path / "vectorized", "vectorized", **{"trainer.chunk": 2}), lightning)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, None])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_chunks_of_any_size_measure_the_same_numbers(name: str, chunk: int | None, tmp_path: Path) -> None:
    expected = run(name, tmp_path / "lightning", "lightning")
    assert_same(run(name, tmp_path / "vectorized", "vectorized", **{"trainer.chunk": chunk}), expected)


@pytest.mark.parametrize("name", some_slow(["CountsInABuffer", "NumpyNoise", "LogsInValidation"], ["NumpyNoise"]))
@pytest.mark.filterwarnings("ignore")
def test_workers_measure_the_bits_of_one_process(name: str, tmp_path: Path) -> None:
    serial = run(name, tmp_path / "serial", "lightning")
    workers = run(name, tmp_path / "processes", "lightning", "processes", **{"engine.workers": 2})
    assert workers == serial


@pytest.mark.parametrize("name", some_slow(KINDS, QUICK[:5]))
@pytest.mark.filterwarnings("ignore")
def test_measuring_within_a_fit_changes_nothing_of_it(name: str, tmp_path: Path) -> None:
    watched = run(name, tmp_path / "each", "lightning")
    alone = run(name, tmp_path / "end", "lightning", **{"evaluation.each_epoch": False, "evaluation.every": 2})
    assert {number: watched[number] for number in alone} == alone


PARTS = [*cut(7, 5, 0, 6), np.array([3, 3, 9])]


def new_module(name: str) -> Any:
    module = KINDS[name]()
    module.round = 0  # as a run sets it
    return module


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_part_has_the_same_numbers_alone_together_and_in_any_order(name: str) -> None:
    torch.manual_seed(0)
    module = new_module(name)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    subject, samples = subject_of(module, EXAMPLE), TensorSamples(*numbers(27, WIDTH, CLASSES))
    clients = [4, 2, 9, 0, 7]
    measure = Measure(batch_size=2)

    def measured(order: list[int]) -> dict[int, Any]:
        result = measure(subject, parts_of(samples, [PARTS[i] for i in order], [clients[i] for i in order]))
        return dict(zip(order, result.totals, strict=True))

    together = measured([0, 1, 2, 3, 4])
    assert together[2] == {} and all(together[i] for i in (0, 1, 3, 4))
    assert measured([4, 0, 3, 2, 1]) == together
    for i in together:
        assert measured([i])[i] == together[i]
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert subject.snapshot.changed() == []


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_running_fit_keeps_its_state(name: str) -> None:
    """What a fit has changed is as before after a measurement, and no part of its numbers."""
    module = new_module(name)
    subject, samples = subject_of(module, EXAMPLE), TensorSamples(*numbers(27, WIDTH, CLASSES))
    parts = parts_of(samples, PARTS)
    expected = Measure(batch_size=2)(subject, parts).totals
    module.calls_of_the_fit = [1, 2]
    module.net[1].eval()
    module.log = log = object()
    module.net[0].weight.requires_grad_(False)
    module.net[2].weight.grad = gradient = torch.ones(CLASSES, 6)
    assert Measure(batch_size=2)(subject, parts).totals == expected
    assert module.calls_of_the_fit == [1, 2] and vars(module)["log"] is log
    assert not module.net[1].training and module.net[0].training
    assert not module.net[0].weight.requires_grad and module.net[2].weight.grad is gradient
