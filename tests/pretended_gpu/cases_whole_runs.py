"""Whole runs: with transforms, checkpoints and stores, which go on on another device, and with what modules make."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

import fedlit.experiment
from tests.pretended_gpu import fit_modules
from tests.pretended_gpu.device import Machine
from tests.pretended_gpu.runs import uncovered, watched
from tests.pretended_gpu.waits import watch
from tests.slow import some_slow
from tests.small_runs import (
    AWKWARD,
    AWKWARD_CLASSES,
    AWKWARD_SHAPE,
    OPTIONS,
    SITES,
    _restored,
    numbers,
    small,
    tensors,
    write_npz,
)

RUNS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> further words, further values
    "lightning": ("trainer=lightning aggregator=fedper", {"trainer.keep_optimizer_state": True}),
    "stack": ("trainer=vectorized aggregator=fedprox", {"trainer.stack": "always"}),
    "rows": ("trainer=vectorized aggregator=fedper", {"trainer.stack": "never", "trainer.keep_optimizer_state": True}),
    "server's optimiser": ("trainer=vectorized optimizer@aggregator.server_optimizer=adam", {"trainer.stack": "never"}),
    "clients' Adam": ("trainer=lightning aggregator=fedper optimizer=adam", {"trainer.keep_optimizer_state": True}),
}
EACH = [(run, store, on_gpu) for run in RUNS for store in OPTIONS["store"] for on_gpu in (False, True)]
QUICK = [("clients' Adam", "disk", True)]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(
        tmp_path_factory.mktemp("series") / "series.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, SITES, images=False
    )


def configuration(run: str, store: str, series: Path, rounds: int) -> Any:
    words, values = RUNS[run]
    changes = {**AWKWARD, "rounds": rounds, "local_epochs": 1, "participation": 1.0, "device": "auto"}
    changes |= {"data.path": str(series), "model": {"_target_": "tests.small_runs.Awkward"}}
    changes |= {"evaluation.each_epoch": True, "trainer.precision": "64-true"}
    changes |= {"partition.rotation": 0, "partition.noise": 0.5}
    if "adam" in words:
        changes = {key: value for key, value in changes.items() if not key.startswith("optimizer.")}
    every = ["data=npz", "partition=feature", "logger=none", f"store={store}", *words.split()]
    return small(every, changes | values)


def go_on(config: Any, folder: Path, on_gpu: bool) -> None:
    """Run or resume to the last round, on a machine with the device or without it. The algorithm is tried elsewhere."""
    folder.mkdir(exist_ok=True)
    with (
        mock.patch.object(Machine, "has_device", on_gpu),
        mock.patch.object(fedlit.experiment, "try_algorithm", lambda *args: None),
        _restored(),
        watched() as entered,
    ):
        assert fedlit.experiment.run(config, folder, []) == 0
    assert watch.mixed == [] and entered
    assert bool(watch.seen) == on_gpu


@pytest.mark.parametrize(("run", "store", "first_on_gpu"), some_slow(EACH, QUICK))
def test_a_run_goes_on_on_another_device(
    run: str, store: str, first_on_gpu: bool, series: Path, tmp_path: Path
) -> None:
    """Each run is resumed twice: to the other device and back."""
    go_on(configuration(run, store, series, 3), tmp_path / "uninterrupted", on_gpu=False)
    resumed = tmp_path / "resumed"
    for rounds, on_gpu in ((1, first_on_gpu), (2, not first_on_gpu), (3, first_on_gpu)):
        config = configuration(run, store, series, rounds)
        if rounds > 1:
            config.resume = str(resumed)
        go_on(config, resumed, on_gpu)
    assert numbers(tmp_path / "uninterrupted") == numbers(resumed)
    first, second = (server_state(folder) for folder in (tmp_path / "uninterrupted", resumed))
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


FITS = [  # a module, the trainer's words
    ("Made", "trainer=lightning"),
    ("Validated", "trainer=lightning"),
    ("Taught", "trainer=lightning"),
    ("Made", "trainer=vectorized trainer.stack=always"),
    ("Made", "trainer=vectorized trainer.stack=never"),
    ("Taught", "trainer=vectorized trainer.stack=never"),
]


@pytest.mark.parametrize(("module", "trainer"), some_slow(FITS, FITS[1:2]))
def test_what_a_module_makes_and_reads_in_a_fit_is_on_the_device(module: str, trainer: str, tmp_path: Path) -> None:
    values = {"model": {"_target_": f"{fit_modules.__name__}.{module}"}, "clients": 2, "rounds": 1, "batch_size": 4}
    values |= {"data": {"_target_": f"{fit_modules.__name__}.Vectors"}, "evaluation.client_validation": 0.25}
    values |= {"trainer.precision": "64-true", "device": "auto"}
    config = small(["logger=none", *trainer.split()], values)
    for on_gpu in (False, True):
        go_on(config, tmp_path / str(on_gpu), on_gpu)
    assert numbers(tmp_path / "False") == numbers(tmp_path / "True")
    on_cpu, on_device = (server_state(tmp_path / str(on_gpu), 1) for on_gpu in (False, True))
    assert on_cpu and all(torch.equal(on_cpu[n], on_device[n]) for n in on_cpu)


TRIED = ["optimizer@aggregator.server_optimizer=adam", *(f"aggregator={name}" for name in OPTIONS["aggregator"])]


@pytest.mark.parametrize("aggregator", some_slow(TRIED, TRIED[:1]))
def test_an_algorithm_is_tried_on_the_device(
    aggregator: str, series: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"rounds": 1, "device": "auto", "evaluation.client_validation": 0.2}  # FedFomo needs validation samples
    config = small(["data=npz", "logger=none", "trainer=vectorized", aggregator], values)
    config.data.path, config.clients = str(series), 2
    with caplog.at_level(logging.INFO, logger="fedlit"), _restored(), watched():
        watch.loops.clear()  # a trial compares numbers everywhere
        assert fedlit.experiment.run(config, tmp_path, []) == 0
    assert watch.mixed == [] and "could not be tried" not in caplog.text


def server_state(folder: Path, round: int = 3) -> dict[str, torch.Tensor]:
    """The tensors of the server after a round, on the CPU."""
    state = torch.load(
        folder / "checkpoints" / f"round_{round:04d}" / "state.pt", map_location="cpu", weights_only=True
    )
    return tensors(copy.copy(state["server"]))


def test_every_store_has_a_case() -> None:
    assert uncovered("store", [store for _, store, _ in EACH]) == set()
