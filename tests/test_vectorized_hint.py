"""The line that names trainer=vectorized after the first round: what it says, when, and that it changes no number."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlit import vectorized_hint
from fedlit.engines import Serial
from fedlit.training.lightning.trainer import LightningTrainer
from fedlit.training.stacked import speed_trial
from fedlit.training.stacked.speed_trial import Speeds
from tests.small_runs import command, numbers, same_bits, saved

WORDS = ("clients=6", "rounds=3", "threads=1", "device=cpu", "logger=none", "progress=plain", "checkpoint.every=0")
MODEL = "model._target_=tests.test_vectorized_hint."


class Net(pl.LightningModule):
    """With running statistics, a counter, and keyed draws."""

    def __init__(self, input_shape: Any, classes: int):
        super().__init__()
        self.body, self.norm = nn.Linear(int(np.prod(input_shape)), 8), nn.BatchNorm1d(8)
        self.dropout, self.head = nn.Dropout(0.3), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(torch.relu(self.norm(self.body(x.flatten(1))))))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("fit", loss)
        return loss


class Drawing(Net):
    """With draws from numpy's global generator, which no stack can make, and a state of its own between steps."""

    calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls += 1
        return super().training_step(batch, batch_idx) * float(1 + np.random.rand() / (1 + self.calls))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial runs however short the run is, and each run may say the line."""
    monkeypatch.setattr(vectorized_hint, "LEAST_LEFT", 0.0)
    monkeypatch.setattr(vectorized_hint, "TRIED", 1e9)  # on a busy machine fits are slow
    monkeypatch.setattr(vectorized_hint, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(vectorized_hint, "LEAST_OUTSIDE", -9.0)
    monkeypatch.setattr(vectorized_hint, "_lines_given", set())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([f"{MODEL}Net", "aggregator=scaffold", "evaluation.client_validation=0.2"], True),
        pytest.param([f"{MODEL}Drawing"], False, marks=pytest.mark.slow),
    ],
)
def test_the_trial_changes_no_number_of_the_run(
    words: list[str], says: bool, in_folder: Path, eager: None, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    tried: list[bool] = []
    lines = vectorized_hint.VectorizedHint._line

    def line(self: Any, *arguments: Any) -> str:
        tried.append(True)
        return lines(self, *arguments) + "."

    monkeypatch.setattr(vectorized_hint.VectorizedHint, "_line", line)
    assert command(*WORDS, *words, "hydra.run.dir=with") == 0
    assert tried == [True]
    assert capsys.readouterr().out.count("trainer=vectorized would train the clients") == says
    assert command(*WORDS, *words, "progress=none", "hydra.run.dir=without") == 0
    assert tried == [True] and numbers(Path("with")) == numbers(Path("without"))
    assert same_bits(saved(Path("with"), 3), saved(Path("without"), 3))


def hint(measured: Speeds | None, monkeypatch: pytest.MonkeyPatch, rounds: int = 20, seconds: float = 0.1) -> Any:
    """A hint of a run whose clients took these seconds each in round 1, and whose trial measures `measured`."""

    class Stub(vectorized_hint.VectorizedHint):
        tried: Any = None

        def _line(self, number: int, tried: list[int], *seconds: float) -> str:
            self.tried = tried
            return super()._line(number, tried, *seconds)

    monkeypatch.setattr(vectorized_hint, "_lines_given", set())
    monkeypatch.setattr(vectorized_hint, "_copied", lambda federation: federation)
    monkeypatch.setattr(speed_trial, "speeds", lambda *arguments: measured)
    nothing = {name: lambda *arguments: None for name in ("round", "cohort", "training_broadcast")}
    federation = SimpleNamespace(seed=0, pipeline=None, **nothing)
    evaluator = SimpleNamespace(watched=lambda *arguments: (frozenset(), False))
    stub = Stub(federation, None, engine(), evaluator)  # type: ignore[arg-type]
    stub.start(SimpleNamespace(rounds=rounds))  # type: ignore[arg-type]
    stub.round(1, {"time/fit": 9 * (seconds + 0.02)}, {})
    stub.clients(1, [{"client": client, "seconds": seconds} for client in range(9)])
    return stub


def engine(kind: type = Serial, in_memory: bool = True, users: Any = None, **options: Any) -> Any:
    made = object.__new__(kind)
    data = SimpleNamespace(
        train=SimpleNamespace(in_memory=in_memory), test=SimpleNamespace(in_memory=True), users=users
    )
    made.local_worker = SimpleNamespace(host=SimpleNamespace(options=LightningTrainer(**options), data=data))
    return made


def test_the_line_has_the_gain_the_clients_and_the_share_outside_of_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = hint(Speeds(together=0.005, steps=0.02), monkeypatch)
    assert stub.tried == [1, 2, 4, 5, 7]  # half a second of fits, without the first, whose fit began cold
    assert capsys.readouterr().out == (
        "trainer=vectorized would train the clients of a round about 24 times as fast: tried on 5 clients, 0.025 s in "
        "place of 0.6 s in round 1. Here 80% of a Trainer's fit is outside of its steps.\n"
    )
    stub.clients(2, [{"client": client, "seconds": 0.1} for client in range(9)])
    assert capsys.readouterr().out == ""  # once


@pytest.mark.parametrize(
    ("measured", "changes"),
    [
        (Speeds(together=0.09, steps=0.02), {}),  # hardly faster
        (Speeds(together=0.005, steps=0.06), {}),  # most of a fit are steps
        (None, {}),  # cannot be stacked
        (Speeds(together=0.005, steps=0.02), {"rounds": 10}),  # hardly anything is left to gain
        (Speeds(together=0.005, steps=0.02), {"seconds": 0.4}),  # two clients would take too long
    ],
)
def test_no_line(
    measured: Speeds | None,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hint(measured, monkeypatch, **changes)
    assert capsys.readouterr().out == ""


def test_nothing_is_tried_where_that_could_disturb_the_run() -> None:
    class Hooks(pl.LightningDataModule):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch

    class Other(Serial):
        pass

    can = vectorized_hint._can_be_tried
    assert can(engine()) and can(engine(users=pl.LightningDataModule()))
    assert not can(engine(Other))
    assert not can(engine(in_memory=False))
    assert not can(engine(users=Hooks()))
    assert not can(engine(options={"detect_anomaly": True}))
    assert not can(engine(accumulate_grad_batches=2))
