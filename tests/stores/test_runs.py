"""Runs in which each client keeps a head: store=disk gives the bits of store=memory, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.small_runs import command, numbers, rows, same_bits, saved

CHECKOUT = Path(__file__).parents[2]
ROUNDS = 6
WORDS = ["aggregator=fedper", "data=digits", "clients=12", "participation=0.4", "threads=1", "progress=none"]
KEPT = ["logger=none", "device=cpu", f"rounds={ROUNDS}", "checkpoint.every=0", "checkpoint.keep=99"]


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("memory") / "run"
    assert command(*WORDS, *KEPT, "store=memory", f"hydra.run.dir={run}") == 0
    return run


def run_until_killed(run: Path, words: list[str], round: int) -> None:
    """Start a process and kill it when `round` is in its metrics."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fedlit.run", *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 300
    while not (run / "metrics.jsonl").exists() or len((run / "metrics.jsonl").read_bytes().splitlines()) < round:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"the run did not reach round {round}: {process.communicate()[1]}")
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_every_checkpoint_has_the_bits_of_the_run_in_memory(tmp_path: Path, in_memory: Path) -> None:
    assert command(*WORDS, *KEPT, "store=disk", f"hydra.run.dir={tmp_path / 'run'}") == 0
    for round in range(1, ROUNDS + 1):
        assert saved(in_memory, round)["clients"]
        assert same_bits(saved(tmp_path / "run", round), saved(in_memory, round))
    assert numbers(tmp_path / "run") == numbers(in_memory)


@pytest.mark.parametrize("every", [pytest.param("0", marks=pytest.mark.slow), "1000"])
def test_a_killed_and_resumed_run_has_the_same_bits(tmp_path: Path, in_memory: Path, every: str) -> None:
    """With a checkpoint in each round, and with none after round 2 although later rounds wrote states."""
    run = tmp_path / "run"
    words = [*WORDS, *KEPT, "store=disk", f"checkpoint.every={every}", f"hydra.run.dir={run}"]
    if every == "1000":
        assert command(*words, "rounds=2") == 0  # saved at its end
        words = [f"resume={run}", f"rounds={ROUNDS}"]
    run_until_killed(run, words, 4)
    if every == "1000":
        assert {path.name for path in (run / "checkpoints").glob("round_*")} == {"round_0000", "round_0002"}
    assert command(f"resume={run}", f"rounds={ROUNDS}") == 0
    assert same_bits(saved(run, ROUNDS), saved(in_memory, ROUNDS))
    assert [row["round"] for row in rows(run)] == list(range(1, ROUNDS + 1))
    assert numbers(run) == numbers(in_memory)


def test_a_damaged_checkpoint_loses_only_its_round(tmp_path: Path, in_memory: Path) -> None:
    run = tmp_path / "run"
    words = [*WORDS, *KEPT, "store=disk", "checkpoint.keep=2"]
    assert command(*words, "rounds=5", f"hydra.run.dir={run}") == 0
    newest = run / "checkpoints" / "round_0005" / "state.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert command(f"resume={run}", f"rounds={ROUNDS}") == 0
    for round in (ROUNDS - 1, ROUNDS):
        assert same_bits(saved(run, round), saved(in_memory, round))


def test_checkpoints_and_the_best_round_hold_no_client_states(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*WORDS, *KEPT, "store=disk", "rounds=2", "evaluation.client_validation=0.2"]
    assert command(*words, f"hydra.run.dir={run}") == 0
    for name, clients in (("round_0002", {"file", "id"}), ("best", set())):
        state = torch.load(run / "checkpoints" / name / "state.pt", weights_only=True)
        assert set(state["clients"]) == clients


def test_missing_states_end_the_run_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert command(*WORDS, *KEPT, "store=disk", "rounds=1", f"hydra.run.dir={run}") == 0
    (run / "checkpoints" / "clients.sqlite").unlink()
    assert command(f"resume={run}", "rounds=2") == 2
    assert "clients.sqlite with the clients' states is missing" in capsys.readouterr().err
