"""Many clients: memory grows with the cohort, and a kill loses none of a hundred thousand heads."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.small_runs import same_bits, saved

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]

ROUNDS = 60  # of a thousand clients: 45,000 of the hundred thousand are asked at least once
HEADS = [
    "experiment=million_clients",
    "clients=100000",
    "aggregator=fedper",
    "model=mlp",
    "model.hidden=[20]",
    "optimizer.lr=0.1",
    "data.iid=false",
    "store=disk",
    "threads=1",
    "device=cpu",
    "progress=none",
    "logger=none",
    "logger.mine._target_=tests.stores.resident.Resident",
    "evaluation.every=20",
    f"rounds={ROUNDS}",
    "checkpoint.every=0",
]


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fedlit.run", *words],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(words: list[str]) -> None:
    process = start(words)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_a_hundred_thousand_heads_need_constant_memory_and_survive_a_kill(tmp_path: Path) -> None:
    alone, run = tmp_path / "alone", tmp_path / "run"
    finish([*HEADS, f"hydra.run.dir={alone}"])
    resident = json.loads((alone / "resident.json").read_text())  # MiB after each round
    assert len(resident) == ROUNDS
    assert max(resident) - resident[4] < 15, resident  # 45,000 heads of 210 numbers would be 40 MiB, and more at a save

    process = start([*HEADS, f"hydra.run.dir={run}"])
    until = time.monotonic() + 600
    while not (run / "checkpoints" / "round_0041").exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish([f"resume={run}"])
    assert same_bits(saved(run, ROUNDS), saved(alone, ROUNDS))
    with sqlite3.connect(run / "checkpoints" / "clients.sqlite") as file:
        rows, clients = file.execute("SELECT COUNT(*), COUNT(DISTINCT client) FROM states").fetchone()
    file.close()
    assert 44_500 < clients < 46_000
    assert clients < rows <= clients + 1000  # two checkpoints: the last cohort has a row for each
    assert (run / "checkpoints" / f"round_{ROUNDS:04d}" / "state.pt").stat().st_size < 100_000


STREAMING = """
    import resource, sys, torch
    from fedlit.messages.reductions import Mean
    from fedlit.server_round import ServerRound
    from fedlit.evaluation.round_record import RoundRecord

    P, S, clients = 11_173_962, 9_600, int(sys.argv[1])  # ResNet-18 of ten classes
    torch.set_num_threads(1)
    mean = Mean().start({"delta": "examples"}, ServerRound(1, 0, list(range(clients)), clients))
    record = RoundRecord(clients, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for client in range(clients):
        update = torch.full((1, P), float(client))
        wire, examples = {"delta.weights": update, "delta.statistics": update[:, :S]}, torch.ones(1, 1)
        record.add_updates(wire, examples)
        mean.add([client], wire, examples)
    average = mean.finish().message["delta"].weights
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert average.min() == average.max()
    print(float(average[0]), (peak - before) * 1024 / (4 * P))
"""


def test_two_hundred_updates_of_a_resnet18_are_averaged_in_the_memory_of_a_few() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STREAMING), "200"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    mean, vectors = map(float, printed.stdout.split())
    assert mean == 99.5
    assert vectors < 10  # the sums of mean and record, the update, and temporary tensors
