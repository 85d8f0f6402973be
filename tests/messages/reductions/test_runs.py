"""Robust rules in runs: what the server keeps of them, and rounds in which too few clients arrive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import small_runs
from tests.slow import some_slow
from tests.small_runs import AWKWARD_CLASSES, AWKWARD_SHAPE, QUIET, numbers, rows, same_bits, saved, tensors

WORDS = [f"{key}={value}" for key, value in QUIET.items() if key not in ("rounds", "checkpoint.every")]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs.without_figures(monkeypatch)


def words(folder: Path, *more: str) -> list[str]:
    """Eight clients with a module that has running statistics."""
    series = small_runs.write_npz(folder / "series.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (6,) * 8, images=False)
    options = ["data=npz", f"data.path={series}", "partition=natural", "clients=8", "batch_size=4", "server_samples=0"]
    return [*options, "model._target_=tests.small_runs.Awkward", "logger=none", *WORDS, *more]


@pytest.mark.parametrize("rule", some_slow(["centered_clipping", "foolsgold"], ["foolsgold"]))
def test_what_the_server_keeps_of_a_rule_goes_on_after_an_interruption(rule: str, in_folder: Path) -> None:
    more = [f"reduction={rule}", "reduction.statistics=own", "rounds=4", "participation=0.75", "sampler=uniform"]
    more += ["reduction.tau=0.05"] if rule == "centered_clipping" else []
    given = words(in_folder, *more)
    assert small_runs.command(*given, "checkpoint.every=0", "hydra.run.dir=alone") == 0
    stopped = ["logger.mine._target_=tests.small_runs.CtrlC", "checkpoint.every=1000", "hydra.run.dir=run"]
    assert small_runs.command(*given, *stopped) == 130
    assert small_runs.command("resume=run") == 0
    last = saved(Path("alone"), 4)
    assert same_bits(saved(Path("run"), 4), last)
    assert numbers(Path("run")) == numbers(Path("alone"))
    kept = tensors(last["messages"]["reduction"])
    assert {"/weights", "/statistics"} <= {name[: name.index("/", 1)] for name in kept}
    before = tensors(saved(Path("alone"), 3)["messages"]["reduction"])
    assert all(not np.array_equal(kept[name].numpy(), before[name].numpy()) for name in kept)


def test_rounds_with_too_few_clients_keep_the_model_and_go_on(
    in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["reduction=krum", "sampler=poisson", "participation=0.65", "rounds=6", "checkpoint.every=0"]
    given = words(in_folder, *more)
    assert small_runs.command(*given, "hydra.run.dir=run") == 0
    metrics, warnings = rows(Path("run")), capfd.readouterr().err
    few = [row["round"] for row in metrics if row["cohort/arrived"] < 5]
    assert 0 < len(few) < 6
    for row in metrics:
        number, is_few = row["round"], row["round"] in few
        sentence = f"round {number}: Krum reduces nothing, and the server keeps its state: {row['cohort/arrived']} mess"
        assert (sentence in warnings) == is_few
        assert ("reduction/selected" in row) != is_few
        if number > 1:
            model, earlier = (tensors(saved(Path("run"), n)["server"]) for n in (number, number - 1))
            assert all(np.array_equal(model[name].numpy(), earlier[name].numpy()) for name in model) == is_few


def test_the_trial_before_the_run_says_nothing_of_too_few_messages(
    in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = words(in_folder, "reduction=bulyan", "rounds=1", "checkpoint.every=0")
    assert small_runs.command(*given, "hydra.run.dir=run") == 0
    assert "reduces nothing" not in capfd.readouterr().err + (Path("run") / "run.log").read_text()
    assert rows(Path("run"))[0]["reduction/selected"] == 6


def test_too_many_malicious_clients_are_refused_before_the_first_round(
    in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = words(in_folder, "rounds=1", "checkpoint.every=0")
    wrapped = ["reduction=bucketing", "reduction@reduction.inner=krum", "hydra.run.dir=run"]
    assert small_runs.command(*given, *wrapped) == 2
    sentence = (
        "Krum with f=1 needs 5 messages in a round (at least 2 f + 3), and the reduction around it makes 4 of them"
    )
    assert sentence in capfd.readouterr().err
    assert not Path("run/metrics.jsonl").exists()
