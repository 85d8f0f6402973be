"""Runs that end before their last round by early stopping, and the targets of a run."""

from __future__ import annotations

import json
import math
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import fedlit
from fedlit.early_stopping import EarlyStopping
from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.models import Mlp
from fedlit.state import FederationState
from fedlit.stores import MemoryStore
from tests.slow import some_slow
from tests.small_runs import command, numbers, rows, same_bits, saved

WORDS = ("clients=3", "threads=1", "device=cpu", "logger=none", "progress=none", "checkpoint.every=0")
ACCURACY, LOSS = "global/test/accuracy", "global/test/loss"


def summary(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "summary.json").read_text())


# --- the rule ---------------------------------------------------------------------------------------------------------
def rounds_until_stop(rule: EarlyStopping, metric: str, values: Sequence[float | None]) -> tuple[int, str]:
    """The round in which the rule stops, and its reason; None is a round without the metric."""
    state = FederationState(0, {}, MemoryStore())
    for number, value in enumerate(values, start=1):
        state.round = number
        try:
            rule.check(state, {} if value is None else {metric: value, "cohort/arrived": 2}, Directions())
        except fedlit.Stop as stop:
            return number, stop.reason
    return 0, ""


@pytest.mark.parametrize(
    ("metric", "values", "patience", "last"),
    [
        (ACCURACY, [0.5, 0.6, 0.6, 0.59, 0.7], 2, 4),  # an equal value is not better
        (LOSS, [0.5, 0.6, 0.6, 0.59, 0.7], 3, 4),
        (LOSS, [0.5, 0.4, 0.3, 0.2, 0.1], 1, 0),
        (ACCURACY, [0.5, 0.4, 0.6, 0.5, 0.7, 0.6], 2, 0),  # the count begins again
        (ACCURACY, [0.5, None, None, None, 0.4, None, 0.3], 2, 7),  # rounds that are not evaluated do not count
        (ACCURACY, [math.nan, math.nan, 0.1, 0.2], 3, 0),
        (ACCURACY, [0.9, math.nan, math.nan], 2, 3),
        (ACCURACY, [math.nan, math.nan], 2, 2),
        (LOSS, [math.inf, 3.0, math.inf, 2.0, math.inf], 2, 0),
    ],
)
def test_patience(metric: str, values: Sequence[float | None], patience: int, last: int) -> None:
    assert rounds_until_stop(EarlyStopping(metric, patience), metric, values)[0] == last


@pytest.mark.parametrize(
    ("metric", "values", "target", "last"),
    [
        (ACCURACY, [0.5, 0.8, 0.9], 0.8, 2),
        (LOSS, [0.5, 0.8, 0.3], 0.4, 3),
        (LOSS, [0.5, math.nan], 0.4, 0),
        ("clients/used/loss/worst", [2.0, 1.0], 1.0, 2),
        ("comm/bytes_up", [9.0, 8.0], 8.0, 2),
    ],
)
def test_target(metric: str, values: Sequence[float], target: float, last: int) -> None:
    assert rounds_until_stop(EarlyStopping(metric, None, target), metric, values)[0] == last


def test_reasons_name_the_metric_the_round_and_the_value() -> None:
    by_patience = EarlyStopping(None, 2)
    assert rounds_until_stop(by_patience, LOSS, [0.5, 0.25, 0.5, 0.5]) == (
        4,
        "global/test/loss was not better than in round 2, 0.25, in 2 measurements",
    )
    assert rounds_until_stop(EarlyStopping(ACCURACY, None, 0.8), ACCURACY, [0.5, 0.875])[1] == (
        "global/test/accuracy is 0.875, and the target was 0.8"
    )
    with pytest.raises(
        InputError, match="stop.metric=null: round 1 has measured no number that is an accuracy or a loss"
    ):
        rounds_until_stop(by_patience, ACCURACY, [math.nan] * 2)


# --- refusals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["stop.metric=accuracy", "stop.patience=3"],
            "stop.metric=accuracy: no metric has this name; name one, such as global/test/accuracy or "
            "clients/used/accuracy/weighted.",
        ),
        (
            ["stop.metric=cohort/asked", "stop.patience=3"],
            "stop.metric=cohort/asked: neither more nor less of it is better; name a metric of the models, such as "
            "global/test/accuracy.",
        ),
        (
            [f"stop.metric={ACCURACY}"],
            "stop.metric=global/test/accuracy: nothing stops the run by this metric; write "
            "stop.patience=<measurements> or stop.target=<value>, too.",
        ),
        (
            ["stop.target=nan"],
            "stop.target=nan: stop.target (the run stops where the metric has this value, or a better one) has to be a "
            "number or null; write for example stop.target=0.5.",
        ),
        (
            ["targets={train/los: 3}"],
            "targets=train/los: no metric has this name; name one, such as train/loss.",
        ),
        (
            ["targets={train/loss: high}"],
            "targets: high is no target of train/loss; write numbers, 'targets={train/loss:0.8}' or "
            "'targets={train/loss:[0.8,0.9]}'.",
        ),
    ],
)
def test_what_no_run_can_follow_is_refused_before_work(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*WORDS, *words, "hydra.run.dir=run") == 2
    assert capsys.readouterr().err == sentence + "\n"
    assert not list(Path("run/checkpoints").glob("round_0001"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["stop.metric=global/test/acuracy", "stop.patience=3"],
            "stop.metric=global/test/acuracy: round 1 has no such metric; write for example "
            "stop.metric=global/test/accuracy.",
        ),
        (
            ["stop.metric=train/log/warmth", "stop.patience=3", "model._target_=tests.test_early_stopping.Warm"],
            "stop.metric=train/log/warmth: it is not known whether more or less of it is better; write "
            "evaluation.higher_is_better=[warmth] or evaluation.lower_is_better=[warmth].",
        ),
    ],
)
def test_what_round_1_does_not_measure_is_refused_after_it(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*WORDS, "rounds=4", *words, "hydra.run.dir=run") == 2
    assert sentence in capsys.readouterr().err
    assert len(rows(Path("run"))) == 1


class Warm(Mlp):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.log("warmth", 1.0)
        return super().training_step(batch, batch_idx)


# --- runs -------------------------------------------------------------------------------------------------------------
STOPPING = ("stop.metric=train/loss", "stop.patience=2", "optimizer.lr=3", "rounds=12")


def stopping_round(folder: str) -> int:
    done = summary(folder)["rounds"]
    assert summary(folder)["stopped"] and done < 12
    assert saved(Path(folder), done)["stopped"] == summary(folder)["stopped"]
    return done


@pytest.mark.slow
def test_a_killed_and_resumed_run_stops_in_the_same_round(in_folder: Path) -> None:
    """The patience that has been spent is in the checkpoint."""
    assert command(*WORDS, *STOPPING, "hydra.run.dir=whole") == 0
    last = stopping_round("whole")
    reason = summary("whole")["stopped"]
    best = int(reason.split("round ")[1].split(",")[0])
    assert best + 2 == last and last > 3
    cut = last - 1  # one measurement of patience is spent
    assert (
        command(
            *WORDS,
            *STOPPING,
            "hydra.run.dir=cut",
            "logger.cut._target_=tests.test_early_stopping.Cut",
            f"+logger.cut.at={cut}",
        )
        == 130
    )
    assert summary("cut")["stopped"] is None and saved(Path("cut"), cut)["stopping"]["without"] == 1
    assert command("resume=cut") == 0
    assert stopping_round("cut") == last and summary("cut")["stopped"] == reason
    assert numbers(Path("cut")) == numbers(Path("whole"))
    assert same_bits(saved(Path("cut"), last), saved(Path("whole"), last))


def test_a_run_that_has_stopped_goes_on_only_with_more_rounds_or_another_rule(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS, "stop.target=0.7", "rounds=9", "hydra.run.dir=run")
    assert command(*words) == 0
    first = summary("run")
    done = first["rounds"]
    assert done < 7 and first["targets"] == {ACCURACY: [{"value": 0.7, **first["targets"][ACCURACY][0]}]}
    assert first["targets"][ACCURACY][0]["round"] == done
    assert fedlit.SavedRun("run").finished

    capsys.readouterr()
    assert command("resume=run") == 0
    assert f"this run has stopped: {first['stopped']}; write rounds=<more>, or change stop" in capsys.readouterr().err
    assert summary("run") == first and len(rows(Path("run"))) == done

    assert command("resume=run", "stop.target=0.75") == 0
    second = summary("run")
    assert second["rounds"] > done and second["stopped"].endswith("the target was 0.75")
    assert command("resume=run", "stop.target=null") == 0
    assert (summary("run")["rounds"], summary("run")["stopped"], summary("run")["targets"]) == (9, None, {})


def test_targets_are_in_the_summary_and_on_the_last_lines(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("rounds=3", "targets={train/loss: 2.2, global/test/accuracy: [0.1, 2]}", "hydra.run.dir=run")
    assert command(*WORDS, *words, "progress=plain") == 0
    table = rows(Path("run"))
    reached = summary("run")["targets"]
    (loss,), (low, high) = reached["train/loss"], reached[ACCURACY]
    expected = next(number for number, row in enumerate(table, start=1) if row["train/loss"] <= 2.2)
    assert (loss["value"], loss["round"]) == (2.2, expected)
    assert loss["bytes"] == sum(row["comm/bytes_up"] + row["comm/bytes_down"] for row in table[:expected])
    seconds = [row[f"time/{part}"] for row in table[:expected] for part in ("fit", "aggregate", "evaluate")]
    assert math.isclose(loss["seconds"], sum(seconds))
    assert low["round"] == 1
    assert high == {"value": 2.0, "round": None, "bytes": None, "seconds": None}
    *_, first, second, third, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"target train/loss 2.2: round {expected}, [\d.]+ kB, [\d.]+ s", first)
    assert second.startswith(f"target {ACCURACY} 0.1: round 1, ") and third == f"target {ACCURACY} 2: not reached"
    assert last.startswith("3 rounds in ")


F1 = (
    "+evaluation.metrics.f1._target_=torchmetrics.classification.MulticlassF1Score",
    "+evaluation.metrics.f1.num_classes=10",
)


OUT_OF_RANGE = [
        (["stop.metric=global/test/accuracy", "stop.target=90"], "stop.target=90: global/test/accuracy is at most 1; "
         "write 0.9 for 90 per cent."),
        (["stop.target=90"], "stop.target=90: global/test/accuracy is at most 1; write 0.9 for 90 per cent."),
        (["targets={clients/used/accuracy/worst: [0.5, 80]}"], "targets={clients/used/accuracy/worst:80}: "
         "clients/used/accuracy/worst is at most 1; write 0.8 for 80 per cent."),
        ([*F1, "targets={global/test/f1: -1}"], "targets={global/test/f1:-1}: global/test/f1 is at least 0."),
        (["targets={global/test/loss: 90}", "stop.metric=train/loss", "stop.target=2"], ""),
        (["targets={global/test/accuracy: 1}", "stop.target=1"], ""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), some_slow(OUT_OF_RANGE, [OUT_OF_RANGE[i] for i in (0, 3, 4)]))
def test_a_target_that_the_metric_cannot_have_is_one_warning(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*WORDS, *words, "rounds=2", "hydra.run.dir=run", "progress=plain") == 0
    _, warned = capsys.readouterr()
    assert warned == (f"{sentence}\n" if sentence else "")
    log = Path("run/run.log").read_text()
    if sentence and "stop.metric" in " ".join(words):
        assert log.index(sentence) < log.index("round 1/2")


class Cut(fedlit.Logger):
    """Sends SIGINT after a round, but not in a resumed run."""

    def __init__(self, at: int):
        self.at = at

    def start(self, about: fedlit.About) -> None:
        self.resumed = about.resumed_after > 0

    def round(self, number: int, row: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        if number == self.at and not self.resumed:
            signal.raise_signal(signal.SIGINT)


def test_options_of_the_rule() -> None:
    with pytest.raises(InputError, match="this has to be a number"):
        EarlyStopping(target=math.inf).check_options(Directions())
