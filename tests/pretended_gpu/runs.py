"""Rounds of small federations on the CPU and on the pretended device, which have to give the same bits."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from fedlit.aggregators import Aggregator
from fedlit.model_vectors import Model
from fedlit.settings.classes import build, locate
from tests.aggregators.federations import Running
from tests.pretended_gpu.device import NAME, PretendedTensor
from tests.pretended_gpu.loops import STEP_LOOPS, subclasses, watch_loops
from tests.pretended_gpu.waits import watch
from tests.small_runs import OPTIONS, composed

SIZES = (8, 4, 6)  # training samples of the clients
TRAINERS: dict[str, tuple[str, dict[str, Any], str]] = {  # name -> option, its values, the loop that a fit runs
    "lightning": ("lightning", {}, "the fit of a Trainer"),
    "stack": ("vectorized", {"stack": "always"}, "the fit of a stack"),
    "rows": ("vectorized", {"stack": "never"}, "the fit of one client without a Trainer"),
    "trace": ("vectorized", {"stack": "always", "compile": "trace"}, "the fit of a stack"),
    "lightning, kept optimisers": ("lightning", {"keep_optimizer_state": True}, "the fit of a Trainer"),
    "rows, kept optimisers": (
        "vectorized",
        {"keep_optimizer_state": True, "gradient_clip_val": 0.1},
        "the fit of one client without a Trainer",
    ),
}


def shipped(option: str) -> Aggregator:
    """The algorithm of an option in conf/aggregator."""
    return build(composed(f"aggregator={option}").config.aggregator, "aggregator")


def shipped_classes(kind: type, package: str) -> dict[str, Any]:
    """name -> the classes of a kind that a package of fedlit has."""
    return {c.__name__: c for c in subclasses(kind) if c.__module__.startswith(package) and not inspect.isabstract(c)}


def federation(folder: Path, trainer: str, device: str, aggregator: Aggregator, **parts: Any) -> Running:
    """A federation of three clients in double precision.

    Args:
        trainer: a name in `TRAINERS`.
        device: as in the configuration, "cpu" or "gpu".
        parts: further arguments of `Running`.
    """
    option, values, _ = TRAINERS[trainer]
    kind = locate(composed(f"trainer={option}").config.trainer["_target_"], "trainer")
    start = {"optimizer": {"lr": 0.1, "momentum": 0.9}, "dropout": 0.2, "norm": True, "sizes": SIZES}
    if trainer == "trace":  # tracing takes seconds for each shape of a batch
        start |= {"sizes": (8, 4, 8), "dropout": 0.0, "norm": False}
    return Running(folder, aggregator, kind=kind, accelerator=device, **(start | values | parts))


def same_on_both(folder: Path, trainer: str, aggregator: Any, rounds: int = 2, **parts: Any) -> None:
    """Run rounds on both devices. `aggregator` makes the algorithm.

    Raises:
        WaitInLoop: the host waits for the device inside a loop.
        AssertionError: states differ, tensors of two devices met, or the trainer took another way than it should.
    """
    on_cpu = federation(folder, trainer, "cpu", aggregator(), **parts).go(rounds)
    on_gpu = run_on_gpu(folder, trainer, aggregator(), rounds, **parts)
    assert_same(states(on_cpu), states(on_gpu))
    rows_on_cpu, rows_on_gpu = ([_without_times(row) for row in run.rows] for run in (on_cpu, on_gpu))
    assert str(rows_on_cpu) == str(rows_on_gpu)


def run_on_gpu(folder: Path, trainer: str, aggregator: Aggregator, rounds: int, **parts: Any) -> Running:
    """Run rounds on the pretended device (errors as in `same_on_both`)."""
    with watched() as entered:
        run = federation(folder, trainer, "gpu", aggregator, **parts)
        entered.clear()  # a trial before the run compares a stack with rows
        run.go(rounds)
    assert not watch.mixed, watch.mixed
    assert entered == {TRAINERS[trainer][2]}
    return run


@contextlib.contextmanager
def watched() -> Iterator[set[str]]:
    """Watch a run from here; the set gets the names of the step loops that it enters."""
    watch_loops()
    watch.seen.clear()
    watch.mixed.clear()
    entered: set[str] = set()
    with contextlib.ExitStack() as patches:
        for function, name in STEP_LOOPS.items():
            noting = _noting(function, entered, name)
            patches.enter_context(mock.patch.object(owner(function), function.__name__, noting))
        yield entered


def _noting(function: Any, entered: set[str], name: str) -> Any:
    def noted(*args: Any, **kwargs: Any) -> Any:
        entered.add(name)
        return function(*args, **kwargs)

    return noted


def owner(function: Any) -> Any:
    """The class of a method."""
    name = function.__qualname__.rpartition(".")[0]
    return getattr(__import__(function.__module__, fromlist=[name]), name)


def states(run: Running) -> dict[str, Any]:
    """All that a federation keeps."""
    return {"server": run.state.server, "clients": dict(run.state.clients.items()), "counters": run.state.counters}


def assert_same(first: Any, second: Any, path: str = "state") -> None:
    """Two states hold the same numbers, and no tensor of the second is on the CPU if it may be on the device."""
    if isinstance(first, Model):
        first, second = ({"weights": m.weights, "statistics": m.statistics} for m in (first, second))
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same(first[key], second[key], f"{path}/{key}")
    elif torch.is_tensor(first):
        assert isinstance(second, PretendedTensor) or second.dim() == 0, f"{path} is not on {NAME}"
        assert torch.equal(first, second.cpu()), path
    else:
        assert first == second, path


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("time/")}


def uncovered(group: str, cases: Any) -> set[str]:
    """The options of a group without a case."""
    return set(OPTIONS[group]) - set(cases)
