"""SIGTERM, wherever it comes in a run: the last finished round is saved, the exit code is 143."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlit.saved_rounds import stopped_text
from fedlit.tracking.logger import About, Logger, Row
from tests.slow import some_slow
from tests.small_runs import command, rows, saved

PLACE: list[str] = []  # where the signal is sent, once


def reach(place: str) -> None:
    if place in PLACE:
        PLACE.clear()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)


class Net(pl.LightningModule):
    def __init__(self, input_shape: Any, classes: int):
        super().__init__()
        reach("making the module")
        self.layer = nn.Linear(64, classes)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.round == 0:
            reach("the trial")
        if self.round == 2 and batch_idx == 1:
            reach("a step")
        return nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def configure_optimizers(self) -> Any:
        if self.round == 2:
            reach("the start of a fit")
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Hooked(Net):
    def on_train_epoch_end(self) -> None:
        if self.round == 2:
            reach("the end of an epoch")


class Reaching(Logger):
    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        reach(f"the record of round {number}")

    def client_done(self, number: int, done: int) -> None:
        if number == 2:
            reach("between clients")

    def start(self, about: About) -> None:
        reach("the loggers' start")


WORDS = (
    "logger=none",
    "logger.mine._target_=tests.test_signals.Reaching",
    *("clients=3", "rounds=3", "threads=1", "device=cpu", "progress=none"),
)
DONE = {
    "making the module": None,
    "the trial": None,
    "the loggers' start": 0,
    "the start of a fit": 1,
    "a step": 1,
    "the end of an epoch": 1,
    "between clients": 1,
    "the record of round 2": 2,
}
CASES = [(trainer, place) for trainer in ("lightning", "vectorized") for place in DONE]
CASES.remove(("vectorized", "the end of an epoch"))
QUICK = [("lightning", "the trial"), ("vectorized", "a step")]  # a sweep has a signal in a step of Lightning's


@pytest.mark.parametrize(("trainer", "place"), some_slow(CASES, QUICK))
def test_sigterm_saves_the_last_round_and_ends_with_143(in_folder: Path, capsys: Any, trainer: str, place: str) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    PLACE[:] = [place]
    module = "Hooked" if place == "the end of an epoch" else "Net"
    assert (
        command(f"model._target_=tests.test_signals.{module}", *WORDS, f"trainer={trainer}", "hydra.run.dir=run") == 143
    )
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == handlers
    assert PLACE == []
    printed = capsys.readouterr().out
    assert "python -m fedlit.run resume=run" in printed
    done = DONE[place]
    if (trainer, place) == ("vectorized", "between clients"):
        done = 2  # all clients are one chunk, after which nothing of the round can be lost
    if done is not None:
        assert saved(Path("run"), done)["round"] == done
        assert f"stopped after round {done}" in printed
    if place == "a step":
        assert command("resume=run") == 0
        assert [row["round"] for row in rows(Path("run"))] == [1, 2, 3]


@pytest.mark.parametrize("number", some_slow([signal.SIGTERM, signal.SIGHUP], [signal.SIGHUP]))
@pytest.mark.parametrize("written", ["before", "after"])
def test_a_signal_while_a_checkpoint_is_written(in_folder: Path, monkeypatch: Any, number: int, written: str) -> None:
    save, sent = torch.save, []

    def send_and_save(contents: Any, *arguments: Any) -> None:
        if written == "after":
            save(contents, *arguments)
        if isinstance(contents, dict) and contents.get("round") == 1 and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        if written == "before":
            save(contents, *arguments)

    monkeypatch.setattr(torch, "save", send_and_save)
    words = ("model._target_=tests.test_signals.Net", "checkpoint.every=0", "hydra.run.dir=run", "trainer=vectorized")
    assert command(*WORDS, *words) == 128 + number
    assert sent == [number] and saved(Path("run"), 1)["round"] == 1
    assert {path.name for path in Path("run/checkpoints").glob("*round*")} == {"round_0000", "round_0001"}


@pytest.mark.parametrize("place", ["a step", pytest.param("the record of round 3", marks=pytest.mark.slow)])
def test_sigterm_ends_a_sweep_and_names_the_sweep(in_folder: Path, capsys: Any, place: str) -> None:
    PLACE[:] = [place]
    assert (
        command(
            "-m",
            "model._target_=tests.test_signals.Net",
            *WORDS,
            "seed=1,2",
            "trainer=lightning",
            "hydra.sweep.dir=sweep",
        )
        == 143
    )
    assert Path("sweep/seed=1").exists() and not Path("sweep/seed=2").exists()
    shown = capsys.readouterr().out
    assert shown.endswith("the sweep is stopped; go on with: python -m fedlit.run resume=sweep\n")
    assert shown.count("resume=") == 1  # the run that was cut names no command of its own


@pytest.mark.parametrize("saved_round", [0, 12])
def test_what_a_stopped_run_says(in_folder: Path, saved_round: int) -> None:
    run = in_folder / "sweep" / "seed=1"
    (run / "checkpoints" / f"round_{saved_round:04d}").mkdir(parents=True)
    of_sweep = {stopped_text(run, at_once, in_sweep=True) for at_once in (True, False)}
    assert of_sweep == {f"sweep/seed=1: stopped {'after round 12' if saved_round else 'before a round was saved'}"}
    at_once = stopped_text(run, at_once=True, in_sweep=False)
    assert at_once.startswith(f"stopped at once; {'rounds up to 12 are' if saved_round else 'no round is'} saved; ")
    assert shlex.split(at_once)[-4:] == ["python", "-m", "fedlit.run", 'resume="sweep/seed=1"']
