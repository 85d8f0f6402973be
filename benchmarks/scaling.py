"""Seconds, memory and start-up with a thousand to a million clients, printed as a table. Linux only.

    python benchmarks/scaling.py                        # the clients keep no state
    python benchmarks/scaling.py --heads                # each keeps its own head: fedper, store=disk
    python benchmarks/scaling.py 1000 trainer=lightning # one number of clients, more words for the run

A row is one run of `experiment=million_clients`, with a cohort of 1,000 at any number of clients, in a process that is
observed from outside. CPU seconds stand next to wall-clock seconds, which grow when other programs run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLIENTS = ["1000", "10000", "100000", "1000000"]
ROUNDS = 22
WARM_UPS = 2  # rounds that are not measured
HEADS = ["aggregator=fedper", "model=mlp", "model.hidden=[20]", "data.iid=false", "optimizer.lr=0.1", "store=disk"]
TITLES = [
    "clients",
    "start-up, s",
    "of the CPU",
    "a round, s",
    "of the CPU",
    "held, MiB",
    "a round takes, MiB",
    "20 rounds leave, MiB",
    "peak, MiB",
]


@dataclass
class Observed:
    """The measurements of one run; memory in MiB."""

    startup: float = 0.0  # seconds from the command to the first round
    rounds: list[float] = field(default_factory=list)  # seconds of each
    cpu: list[float] = field(default_factory=list)  # CPU seconds of the process at the end of each
    held: list[float] = field(default_factory=list)  # memory after each round
    measured_peak: float = 0.0  # of the rounds after the warm-up
    peak: float = 0.0  # of the run

    def row(self, clients: str) -> list[str]:
        held = self.held[WARM_UPS - 1]
        cpu_per_round = (self.cpu[-1] - self.cpu[WARM_UPS - 1]) / (len(self.cpu) - WARM_UPS)
        return [
            f"{int(clients):,}",
            f"{self.startup:.1f}",
            f"{self.cpu[0] - cpu_per_round:.1f}",
            f"{statistics.median(self.rounds[WARM_UPS:]):.2f}",
            f"{cpu_per_round:.2f}",
            f"{held:,.0f}",
            f"{self.measured_peak - held:.1f}",
            f"{self.held[-1] - held:.1f}",
            f"{self.peak:,.0f}",
        ]


def observe(words: list[str], folder: Path) -> Observed:
    """Run fedlit to its end, and read its metrics and its memory during the run."""
    observed, begin = Observed(), time.time()
    command = [sys.executable, "-m", "fedlit.run", *words, f"hydra.run.dir={folder}", "progress=none"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    status, metrics = Path(f"/proc/{process.pid}/status"), folder / "metrics.jsonl"
    while len(observed.rounds) < ROUNDS:
        if process.poll() is not None:
            break
        rows = metrics.read_bytes().splitlines(keepends=True) if metrics.exists() else []
        for row in rows[len(observed.rounds) :]:
            if not row.endswith(b"\n"):
                break
            seconds = sum(v for k, v in json.loads(row).items() if k in ("time/fit", "time/aggregate", "time/evaluate"))
            observed.startup = observed.startup or time.time() - begin - seconds
            observed.rounds.append(seconds)
            observed.cpu.append(cpu_seconds(process.pid))
            memory = dict(line.split(":", 1) for line in status.read_text().splitlines())
            observed.held.append(mib(memory["VmRSS"]))
            observed.measured_peak = mib(memory["VmHWM"])
            if len(observed.rounds) == WARM_UPS:
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the peak
            observed.peak = max(observed.peak, mib(memory["VmHWM"]))
        time.sleep(0.005)
    if process.wait():
        raise SystemExit(f"this run failed: {' '.join(command)}")
    return observed


def cpu_seconds(process: int) -> float:
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def mib(kilobytes: str) -> float:
    return int(kilobytes.split()[0]) / 1024


def measure(words: list[str]) -> Iterator[list[str]]:
    """A row of the table for each number of clients."""
    numbers = [word for word in words if word.isdigit()] or CLIENTS
    overrides = [word for word in words if "=" in word]
    shared = ["experiment=million_clients", "threads=1", "device=cpu", f"rounds={ROUNDS}"]
    for clients in numbers:
        with tempfile.TemporaryDirectory() as folder:
            heads = HEADS if "--heads" in words else []
            observed = observe([*shared, *heads, f"clients={clients}", *overrides], Path(folder) / "run")
        yield observed.row(clients)


def main(words: list[str]) -> None:
    print("| " + " | ".join(TITLES) + " |\n" + "|--:" * len(TITLES) + "|", flush=True)
    for row in measure(words):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
