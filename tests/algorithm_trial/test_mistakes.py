"""Each mistake against the contract ends in one sentence that names class and method, before any round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.aggregators import Aggregator
from fedlit.errors import InputError
from fedlit.samplers import All, Sampler, Uniform, checked_clients, checked_expected
from tests.algorithm_trial.mistakes import MISTAKES, STACKED_ONLY, fits, kept_outside
from tests.algorithm_trial.trials import assert_tried_to_the_end, federation, log_all, tried
from tests.slow import some_slow
from tests.small_runs import command, rows

UNNAMED = {"PatternFitsNothing", "DrawsOfNoKind", "StepDrawsOfNoKind"}  # their sentences name the call


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
@pytest.mark.parametrize("algorithm", MISTAKES, ids=lambda algorithm: algorithm.__name__)
def test_a_mistake_is_named(
    algorithm: type[Aggregator], trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log_all(caplog)
    run = federation(tmp_path, trainer)
    if trainer == "lightning" and algorithm in STACKED_ONLY:  # with one client a chunk its numbers are right
        tried(algorithm(), run)
        assert_tried_to_the_end(caplog)
        return
    with pytest.raises(InputError, match=MISTAKES[algorithm]) as caught:
        tried(algorithm(), run)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert algorithm.__name__ in sentence or algorithm.__name__ in UNNAMED


RUN = ("rounds=1", "clients=3", "threads=1", "device=cpu", "progress=none", "logger=none", "hydra.run.dir=run")


@pytest.mark.parametrize(
    ("trainer", "algorithm"),
    [
        ("vectorized", fits.ClosureRule),
        ("vectorized", fits.RuleMean),
        ("lightning", kept_outside.OnSelf),
        ("lightning", kept_outside.InPlace),
    ],
)
def test_a_run_ends_before_its_first_round(
    trainer: str, algorithm: type[Aggregator], in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = f"{algorithm.__module__}.{algorithm.__name__}"
    code = command(f"aggregator._target_={target}", f"trainer={trainer}", *RUN)
    assert code == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not Path("run/metrics.jsonl").exists() or not rows(Path("run"))


class Chooses(Sampler):
    def __init__(self, chosen, mean=1.0):
        self.chosen, self.mean = chosen, mean

    def __call__(self, round, rng, clients, probe):
        return self.chosen

    def expected(self, clients):
        return self.mean


@pytest.mark.parametrize(
    "chosen", [[1, 99], [-1], [True, False], [1.0], [0.5], ["1"], None, 3, "12", [3], torch.tensor([True])]
)
def test_a_sampler_chooses_numbers_of_clients(chosen) -> None:
    sampler = Chooses(chosen)
    with pytest.raises(InputError, match="^Chooses "):
        checked_clients(sampler, chosen, 3)


@pytest.mark.parametrize("chosen", [[], range(3), [2, 2, 0], {1, 2}])
def test_right_choices_pass(chosen) -> None:
    assert sorted(checked_clients(Chooses(chosen), chosen, 3)) == sorted(chosen)


@pytest.mark.parametrize("mean", [None, -1.0, float("nan"), float("inf"), "many"])
def test_the_expected_number_of_clients_is_a_number(mean) -> None:
    with pytest.raises(InputError, match=r"^Chooses\.expected returns"):
        checked_expected(Chooses([], mean), 3)
    assert checked_expected(All(), 3) == 3 and checked_expected(Uniform(0.5), 4) == 2
