"""A run that was stopped in any way and resumed gives the same bits as an uninterrupted run, and each round once.

The stopped runs are separate processes; the reference runs in this one, and keeps the checkpoint of every round. Every
algorithm of conf/ runs in this process, because algorithms differ in the states that they keep.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from torch import Tensor, nn, optim

from fedlit.run import main
from fedlit.run_folder import hold
from fedlit.settings.compose import composer
from fedlit.settings.resume import resume
from fedlit.settings.table import keys_of
from tests import small_runs
from tests.slow import some_slow
from tests.small_runs import AWKWARD, OPTIONS, QUIET, numbers, rows, same_bits

CHECKOUT = Path(__file__).parents[1]
ROUNDS = 6
TINY = ["data=digits", "clients=5", "participation=0.6", "threads=1", "progress=none"]
COMMAND = [sys.executable, "-m", "fedlit.run"]


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, arguments: list[str]) -> None:
    process = start(folder, arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def end_after(process: subprocess.Popen[str], run: Path, rounds: int, number: int) -> str:
    """Send a signal once the run's metrics have that number of rounds; returns the printed output."""
    until = time.monotonic() + 200
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < rounds:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"the run did not come to round {rounds}: {process.communicate()}")
        time.sleep(0.002)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=100)
    assert rounds <= len(rows(run)) < ROUNDS, "the run ended before the signal came"
    return printed


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Callable[[str, int, int], Path]:
    """`reference(aggregator, seed, every)`, with the rounds between evaluations, is an uninterrupted run's folder."""

    @functools.cache
    def uninterrupted(aggregator: str, seed: int, every: int) -> Path:
        run = tmp_path_factory.mktemp("reference") / "run"
        words = [f"aggregator={aggregator}", f"seed={seed}", f"evaluation.every={every}", f"hydra.run.dir={run}"]
        kept = ["logger=none", f"rounds={ROUNDS}", "checkpoint.every=0", "checkpoint.keep=99"]
        assert small_runs.command(*TINY, *kept, *words) == 0
        return run

    return uninterrupted


def saved(run: Path, round: int = ROUNDS) -> dict:
    return small_runs.saved(run, round)


def rounds_in_tensorboard(run: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.mark.parametrize("aggregator", ["fedper", pytest.param("fedavg", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_bits(in_folder, reference, aggregator):
    words = [*TINY, f"aggregator={aggregator}", "seed=1", f"rounds={ROUNDS}", "checkpoint.every=0"]
    process = start(in_folder, [*COMMAND, *words, "hydra.run.dir=run"])
    end_after(process, Path("run"), 3, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (Path("run") / "summary.json").exists()
    newest = max((Path("run") / "checkpoints").glob("round_*"))
    shutil.rmtree(newest)  # as if killed before it was written: one round or two run again

    assert small_runs.command("resume=run") == 0
    uninterrupted = reference(aggregator, 1, 1)
    assert same_bits(saved(Path("run")), saved(uninterrupted))
    assert bool(saved(uninterrupted)["clients"]) == (aggregator == "fedper")
    assert [row["round"] for row in rows(Path("run"))] == list(range(1, ROUNDS + 1))
    assert numbers(Path("run")) == numbers(uninterrupted)
    shown = rounds_in_tensorboard(Path("run"))
    assert shown["global/test/accuracy" if aggregator == "fedavg" else "train/loss"] == list(range(1, ROUNDS + 1))
    assert {name: steps for name, steps in shown.items() if steps != sorted(set(steps))} == {}


@pytest.mark.slow
def test_an_interrupted_run_resumes_by_the_printed_command_with_more_rounds(tmp_path, reference):
    words = [*TINY, "aggregator=fedavg", "seed=1", f"rounds={ROUNDS - 1}", "logger=none", "hydra.run.dir=run"]
    process = start(tmp_path, [*COMMAND, *words])
    printed = end_after(process, tmp_path / "run", 2, signal.SIGINT)
    assert process.returncode == 130
    done, command = printed.strip().removeprefix("stopped after round ").split("; go on with: ")
    assert int(done) == len(rows(tmp_path / "run"))
    python, *arguments = shlex.split(command)
    assert (python, arguments) == ("python", ["-m", "fedlit.run", "resume=run"])
    assert same_bits(saved(tmp_path / "run", int(done)), saved(reference("fedavg", 1, 1), int(done)))

    finish(tmp_path, [sys.executable, *arguments, f"rounds={ROUNDS}"])
    assert same_bits(saved(tmp_path / "run"), saved(reference("fedavg", 1, 1)))
    assert [row["round"] for row in rows(tmp_path / "run")] == list(range(1, ROUNDS + 1))


@pytest.mark.slow
def test_a_completed_run_continues_with_more_rounds(tmp_path, reference):
    words = [*TINY, "aggregator=fedper", "seed=1", f"rounds={ROUNDS - 2}", "hydra.run.dir=run"]
    finish(tmp_path, [*COMMAND, *words])
    finish(tmp_path, [*COMMAND, "resume=run", f"rounds={ROUNDS}"])
    assert same_bits(saved(tmp_path / "run"), saved(reference("fedper", 1, 1)))
    for steps in rounds_in_tensorboard(tmp_path / "run").values():
        assert steps == sorted(set(steps))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rounds"] == ROUNDS


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_only_its_round(tmp_path, reference):
    shutil.copytree(reference("fedper", 1, 1), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / f"round_{ROUNDS:04d}" / "state.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    finish(tmp_path, [*COMMAND, "resume=run"])
    assert same_bits(saved(tmp_path / "run"), saved(reference("fedper", 1, 1)))
    assert [row["round"] for row in rows(tmp_path / "run")] == list(range(1, ROUNDS + 1))


@pytest.mark.parametrize("aggregator", some_slow(["fedavg", "fedper"], ["fedper"]))
def test_evaluating_more_often_changes_no_bit(reference, aggregator):
    often, rarely = reference(aggregator, 1, 1), reference(aggregator, 1, 3)
    measured = [[any("accuracy" in name for name in row) for row in rows(run)] for run in (often, rarely)]
    assert measured[0] != measured[1]
    assert same_bits(saved(often), saved(rarely))


@pytest.mark.parametrize("aggregator", some_slow(["fedavg", "fedper"], ["fedavg"]))
def test_another_seed_gives_another_model(reference, aggregator):
    assert not same_bits(saved(reference(aggregator, 1, 1)), saved(reference(aggregator, 2, 1)))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_resuming_a_folder_in_use_is_refused(reference):
    run = reference("fedavg", 1, 1)
    before, lock = contents(run), hold(run)
    try:
        process = start(run, [*COMMAND, f"resume={run}"])
        printed, errors = process.communicate(timeout=100)
    finally:
        lock.release()
    assert (process.returncode, printed) == (2, "")
    assert errors == f"{run} is in use by another process; wait for its end, or stop it.\n"
    assert contents(run) == before


@pytest.mark.parametrize("override", ["device=gpu", "trainer.accelerator=gpu", "trainer.devices=[2]"])
def test_a_run_may_go_on_on_another_device(override, reference):
    with composer() as opened:
        before, after = (keys_of(resume(reference("fedavg", 1, 1), given, opened).config) for given in ([], [override]))
    changed = {key for key in after if after[key] != before[key] and not isinstance(after[key], dict)}
    assert changed == {override.partition("=")[0]}


def test_resuming_with_other_settings_is_refused_with_the_differences(reference, capsys):
    run = reference("fedavg", 1, 1)
    before = contents(run)
    assert main([f"resume={run}", "clients=7", "optimizer.lr=0.7", f"rounds={ROUNDS + 1}"]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    first, *differences = errors.splitlines()
    assert first.startswith(f"resume={run}: a run that goes on may change rounds, stop, targets, engine, ")
    assert [line.split(":")[0].strip() for line in differences] == ["clients", "optimizer.lr"]
    assert differences[0] == "  clients: 5 -> 7" and differences[1].endswith(" -> 0.7")
    assert contents(run) == before


def awkward_run(folder: Path, aggregator: str) -> list[str]:
    """The words of a run of four rounds on a module with batch normalisation, dropout and a frozen layer."""
    series = small_runs.write_npz(
        folder / "series.npz", small_runs.AWKWARD_SHAPE, small_runs.AWKWARD_CLASSES, small_runs.SITES, images=False
    )
    options = ["data=npz", f"data.path={series}", "partition=natural", "model._target_=tests.small_runs.Awkward"]
    changes = {key: value for key, value in {**QUIET, **AWKWARD, "rounds": 4}.items() if key != "checkpoint.every"}
    return [*options, f"aggregator={aggregator}", *(f"{key}={value}" for key, value in changes.items())]


@pytest.mark.parametrize("aggregator", some_slow(OPTIONS["aggregator"], ["fedper", "cfl"]))
def test_every_algorithm_resumes_after_ctrl_c_to_the_same_bits(aggregator, in_folder, capsys):
    words = awkward_run(in_folder, aggregator)
    assert small_runs.command(*words, "logger=none", "checkpoint.every=0", "hydra.run.dir=alone") == 0
    stopped = [
        "logger=none",
        "logger.mine._target_=tests.small_runs.CtrlC",
        "checkpoint.every=1000",
    ]  # saved at the stop
    assert small_runs.command(*words, *stopped, "hydra.run.dir=run") == 130
    done = len(rows(Path("run")))
    assert f"stopped after round {done}; go on with: python -m fedlit.run resume=run" in capsys.readouterr().out
    assert done in (2, 3)  # the third round is dropped, unless its only client had come back
    assert same_bits(saved(Path("run"), done), saved(Path("alone"), done))
    assert not same_bits(saved(Path("run"), done), saved(Path("alone"), 4))

    assert small_runs.command("resume=run") == 0
    assert same_bits(saved(Path("run"), 4), saved(Path("alone"), 4))
    assert numbers(Path("run")) == numbers(Path("alone"))
    assert [row["round"] for row in rows(Path("run"))] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("store", OPTIONS["store"])
@pytest.mark.parametrize("aggregator", OPTIONS["aggregator"])
def test_every_algorithm_that_is_killed_resumes_to_the_same_bits_in_every_store(aggregator, store, in_folder):
    words = awkward_run(in_folder, aggregator)
    alone = [*words, "logger=none", "checkpoint.every=0", "store=memory", "hydra.run.dir=alone"]
    assert small_runs.command(*alone) == 0
    killed = [
        *words,
        "logger=none",
        "logger.mine._target_=tests.small_runs.Kill",
        "checkpoint.every=0",
        f"store={store}",
    ]
    process = start(in_folder, [*COMMAND, *killed, "hydra.run.dir=run"])
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert len(rows(Path("run"))) == 2
    assert small_runs.command("resume=run") == 0
    for round in (2, 4):
        assert same_bits(saved(Path("run"), round), saved(Path("alone"), round))
    assert numbers(Path("run")) == numbers(Path("alone"))


class FailsInRound3(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def training_step(self, batch: Any) -> Tensor:
        loss = nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])
        return loss * (float("nan") if self.round == 3 else 1)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def test_a_client_that_ends_the_run_costs_no_completed_round(in_folder, capsys):
    words = [*TINY, "logger=none", "rounds=5", "hydra.run.dir=run", f"model._target_={__name__}.FailsInRound3"]
    assert small_runs.command(*words) == 2
    errors = capsys.readouterr().err
    assert "client 0, round 3: its update has NaN" in errors and "resume=run" in errors
    assert small_runs.saved(Path("run"), 2)["round"] == 2 and len(rows(Path("run"))) == 2
