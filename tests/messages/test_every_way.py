"""Every option of uplink, downlink, reduction and attack: on both trainers, after a resume, and together."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests import small_runs
from tests.messages.whole_runs import HIDDEN, WAYS, agree, command, final
from tests.slow import some_slow
from tests.small_runs import OPTIONS, composed, numbers, same_bits

QUICK = ["uplink powersgd", "uplink adaptive clip", "downlink topk", "reduction foolsgold", "attack mimic"]
ROUNDED = [f"reduction {name}" for name in HIDDEN]  # a last bit may change the rounding
EXACT = ["trainer.precision=64-true", "rounds=2"]


@pytest.mark.parametrize("way", some_slow(WAYS, [*QUICK, "attack backdoor"]))
def test_both_trainers_give_the_same_numbers(way: str, in_folder: Path) -> None:
    words = [*WAYS[way], *EXACT]
    if way == "attack statistics":
        words += ["model=cnn_bn"]
    assert command(*words, "trainer=lightning", "hydra.run.dir=lightning") == 0
    assert command(*words, "trainer=vectorized", "trainer.stack=always", "hydra.run.dir=stack") == 0
    agree("lightning", "stack", 2, 1e-6 if way in ROUNDED else 1e-9)


@pytest.mark.parametrize("store", ["memory", pytest.param("disk", marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", some_slow(WAYS, [way for way in QUICK if way != "uplink adaptive clip"]))
def test_a_resumed_run_has_the_same_bits(way: str, store: str, in_folder: Path) -> None:
    words = [*WAYS[way], "trainer=vectorized", f"store={store}"]
    if way == "attack statistics":
        words += ["model=cnn_bn"]
    assert command(*words, "rounds=3", "hydra.run.dir=whole") == 0
    assert command(*words, "rounds=1", "hydra.run.dir=parts") == 0
    assert small_runs.command("resume=parts", "rounds=3") == 0
    if way == "reduction ckks":  # its noise follows no seed
        agree("parts", "whole", 3, 1e-6)
        return
    assert numbers(Path("parts")) == numbers(Path("whole"))
    assert same_bits(final("parts", 3), final("whole", 3))


AGAINST_STATISTICS = {
    "bucketing": ["reduction@reduction.inner=krum", "reduction.inner.statistics=own", "clients=12"],
    "nnm": ["reduction@reduction.inner=krum", "reduction.inner.statistics=own"],
    "foolsgold": ["attack.clients=[0,1]"],  # which finds clients that send the same
}


@pytest.mark.parametrize("reduction", some_slow(OPTIONS["reduction"], ["median", "krum"]))
def test_a_model_with_batch_normalisation_passes_every_rule(reduction: str, in_folder: Path) -> None:
    words = ["model=cnn_bn", f"reduction={reduction}", "rounds=2", "trainer=vectorized"]
    if reduction != "mean":  # no client is malicious, or its statistics pass a rule of their own
        options = composed(*words[:2]).config.reduction
        words += ["clients=3"] if reduction == "paillier" else []  # milliseconds for 31 numbers
        words += ["attack=statistics", "attack.clients=[0]"]  # as many as the rules declare, f=1
        words += ["reduction.statistics=own"] if "statistics" in options else []
    words += AGAINST_STATISTICS.get(reduction, [])
    assert command(*words, "hydra.run.dir=run") == 0
    for row in numbers(Path("run")):
        refused = row["attack/drawn"] if reduction in HIDDEN else 0  # their statistics are beyond the range
        assert (row["cohort/arrived"], row["cohort/refused"]) == (row["cohort/asked"] - refused, refused)
        assert row["global/test/loss"] is not None


PAIRS = list(itertools.product(OPTIONS["uplink"], OPTIONS["reduction"]))


@pytest.mark.parametrize(
    ("stage", "reduction"),
    some_slow(PAIRS, [("powersgd", "krum"), ("topk", "krum"), ("qsgd", "median"), ("clip", "bucketing")]),
)
def test_every_pair_of_a_stage_and_a_reduction_runs_or_is_refused(
    stage: str, reduction: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command(f"uplink=[{stage}]", f"reduction={reduction}", "rounds=1", "trainer=vectorized", "hydra.run.dir=run")
    assert code in (0, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    if code:
        assert error.count("\n") == 1 and stage in error  # a sentence
    if reduction in HIDDEN:
        assert (code == 2) == (stage != "clip")  # the server decodes all others
    else:
        assert (code == 2) == (stage == "powersgd" and reduction != "mean")


@pytest.mark.parametrize(
    ("aggregator", "words"),
    some_slow(
        [
            (aggregator, way)
            for aggregator in OPTIONS["aggregator"]
            for way in (
                "uplink=[topk,clip]",
                "reduction=krum",
                "attack=sign_flip",
                "downlink=[half]",
                "reduction=secure",
            )
        ],
        [("scaffold", "uplink=[topk,clip]"), ("fednova", "reduction=krum"), ("fedamp", "attack=sign_flip")],
    ),
)
def test_every_algorithm_passes_a_stage_a_rule_and_an_attack_or_is_refused(
    aggregator: str, words: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = ["rounds=2", "trainer=vectorized", "data.public=20", "evaluation.client_validation=0.2"]
    code = command(f"aggregator={aggregator}", words, *setting, "hydra.run.dir=run")
    error = capsys.readouterr().err
    assert code in (0, 2) and "Traceback" not in error
    if code:
        assert error.strip().count("\n") == 0, error
