"""How a round, the start and the memory grow with the number of clients there are, and with those that are asked."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.combinations import entries
from benchmarks.pipe import Contender, Gone
from benchmarks.workloads import WORKLOADS, Workload, save

SIZES = [(100, 100), (1_000, 100), (10_000, 100), (100_000, 100), (10_000, 10), (10_000, 1_000)]
NAMES = [
    "bare, 1 thread",
    "lightning serial, 1 thread",
    "vectorized serial, 1 thread",
    "vectorized processes, 2 of 1 thread",
]


def workload(clients: int, per_round: int) -> Workload:
    return replace(WORKLOADS["W3"], clients=clients, per_round=per_round, samples=10)


def measure(rounds: int) -> list[dict[str, Any]]:
    return [_one(workload(*size), rounds) for size in SIZES]


def names(rows: list[dict[str, Any]]) -> list[str]:
    """Those that could run."""
    return [name for name in NAMES if any(name in row["contenders"] for row in rows)]


def _one(w: Workload, rounds: int) -> dict[str, Any]:
    print(f"scaling: {w.clients} clients, {w.per_round} a round", flush=True)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        file = Path(made) / "workload.npz"
        save(w, file, ours.first_weights(w), ours.cohorts(w, rounds + 1))
        running: dict[str, Contender] = {}
        for entry in entries(w, file, Path(made), peers=False):
            if entry.name not in NAMES:
                continue
            begin = time.monotonic()
            contender = Contender(entry.name, entry.command, Path(made) / f"{entry.name}.log")
            stack.callback(contender.stop)
            try:
                contender.ready()
            except Gone as error:
                print(f"left out: {error}", flush=True)
                continue
            running[entry.name] = contender
            found[entry.name] = {"start_up": time.monotonic() - begin, "seconds": []}
        for number in range(rounds + 1):
            for name, contender in running.items():
                told = contender.round()
                if number:
                    found[name]["seconds"].append(told["seconds"])
                    found[name]["peak_mb"] = told["peak_mb"] + sum(told["children_mb"])
    for one in found.values():
        one["median"] = statistics.median(one["seconds"])
    return {"clients": w.clients, "per_round": w.per_round, "contenders": found}
