"""A trial changes nothing: not the numbers of the run, nor generators, modules, classes and globals."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

import fedlit.experiment
from fedlit.aggregators import FedAvg
from fedlit.global_generators import generator_states
from tests.algorithm_trial.small_algorithm import Up, fedavg
from tests.algorithm_trial.trials import federation, tried
from tests.slow import some_slow
from tests.small_runs import AWKWARD, go, numbers, same_bits, saved, small

CALLS: list[int] = []


@pytest.mark.parametrize(
    ("trainer", "aggregator"),
    some_slow(
        [(trainer, aggregator) for trainer in ("lightning", "vectorized") for aggregator in ("fedavg", "fedper")],
        [("vectorized", "fedper")],
    ),
)
def test_a_run_has_the_same_bits_with_and_without_a_trial(trainer: str, aggregator: str, in_folder: Path) -> None:
    config = small(["data=synthetic", f"aggregator={aggregator}", f"trainer={trainer}"], AWKWARD)
    go(config, Path("with"))
    with mock.patch.object(fedlit.experiment, "try_algorithm") as skipped:
        go(config, Path("without"))
    assert skipped.called
    assert numbers(Path("with")) == numbers(Path("without"))
    assert same_bits(saved(Path("with"), 2), saved(Path("without"), 2))


@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
def test_module_and_generators_stay_as_they_are(trainer: str, tmp_path: Path) -> None:
    run = federation(tmp_path, trainer, dropout=0.4, norm=True)
    module, states = run.engine.local_worker.host.module, generator_states()
    before = copy.deepcopy(module.state_dict())
    tried(FedAvg(), run)
    assert generator_states() == states
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert run.engine.local_worker.host.snapshot.changed() == []


class Cached(Up):
    """A cache on the class and one on the instance: right, and empty after the trial."""

    masks: dict[int, torch.Tensor] = {}  # noqa: RUF012

    def __init__(self):
        self.cache = {}

    def local_update(self, client, received, state):
        width = received["model"].weights.shape[-1]
        Cached.masks.setdefault(width, torch.ones(width))
        self.cache.setdefault(width, 1)
        return fedavg(client, received), state


class Noted(Up):
    """A list in a module: a mistake."""

    def local_update(self, client, received, state):
        CALLS.append(1)
        return fedavg(client, received), state


def test_caches_and_globals_are_as_before(tmp_path: Path) -> None:
    run, algorithm = federation(tmp_path, "vectorized"), Cached()
    tried(algorithm, run)
    assert Cached.masks == {} and algorithm.cache == {}
    with pytest.raises(ValueError, match="the global CALLS"):
        tried(Noted(), run)
    assert CALLS == []


@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
def test_a_trial_of_the_default_model_takes_less_than_half_a_second(trainer: str, in_folder: Path) -> None:
    """Of the processor, the least of three, because other processes may share the cores."""
    durations = []
    original = fedlit.experiment.try_algorithm

    def timed(*arguments):
        for _ in range(3):
            begin = time.process_time()
            original(*arguments)
            durations.append(time.process_time() - begin)

    with mock.patch.object(fedlit.experiment, "try_algorithm", timed):
        go(small([f"trainer={trainer}"], {"clients": 3}), Path("run"))
    assert min(durations) < 0.5
