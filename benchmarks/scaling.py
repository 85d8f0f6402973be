"""What a round costs with a thousand to a million clients: seconds, memory, start-up; printed as a table. Linux only.

    python benchmarks/scaling.py                        # the clients keep nothing
    python benchmarks/scaling.py --heads                # each keeps a head of its own: fedper, store=disk
    python benchmarks/scaling.py 1000 trainer=lightning # one number of clients, and words for the run

A line is one run of `experiment=million_clients`, with a cohort of 1,000 at any number of clients, in a process of its
own that is looked at from outside. Seconds of the processor are told beside those of the clock, which other work on the
machine lengthens.
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
FIRST = 2  # rounds that are left out: they warm up
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
class Seen:
    """What was seen of one run; memory in MiB."""

    startup: float = 0.0  # seconds from the command to the first round
    rounds: list[float] = field(default_factory=list)  # seconds of each
    cpu: list[float] = field(default_factory=list)  # seconds of the processor until the end of each
    held: list[float] = field(default_factory=list)  # after each round
    most: float = 0.0  # at any moment of the rounds after the first ones
    peak: float = 0.0  # at any moment of the run

    def line(self, clients: str) -> list[str]:
        held = self.held[FIRST - 1]
        a_round = (self.cpu[-1] - self.cpu[FIRST - 1]) / (len(self.cpu) - FIRST)
        return [
            f"{int(clients):,}",
            f"{self.startup:.1f}",
            f"{self.cpu[0] - a_round:.1f}",
            f"{statistics.median(self.rounds[FIRST:]):.2f}",
            f"{a_round:.2f}",
            f"{held:,.0f}",
            f"{self.most - held:.1f}",
            f"{self.held[-1] - held:.1f}",
            f"{self.peak:,.0f}",
        ]


def watched(words: list[str], folder: Path) -> Seen:
    """Run it to its end and look at its metrics and its memory meanwhile."""
    seen, began = Seen(), time.time()
    command = [sys.executable, "-m", "fedlit.run", *words, f"hydra.run.dir={folder}", "progress=none"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    status, metrics = Path(f"/proc/{process.pid}/status"), folder / "metrics.jsonl"
    while len(seen.rounds) < ROUNDS:
        if process.poll() is not None:
            break
        rows = metrics.read_bytes().splitlines(keepends=True) if metrics.exists() else []
        for row in rows[len(seen.rounds) :]:
            if not row.endswith(b"\n"):
                break
            took = sum(v for k, v in json.loads(row).items() if k in ("time/fit", "time/aggregate", "time/evaluate"))
            seen.startup = seen.startup or time.time() - began - took
            seen.rounds.append(took)
            seen.cpu.append(cpu_seconds(process.pid))
            memory = dict(line.split(":", 1) for line in status.read_text().splitlines())
            seen.held.append(mib(memory["VmRSS"]))
            seen.most = mib(memory["VmHWM"])
            if len(seen.rounds) == FIRST:
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the high-water mark begins anew
            seen.peak = max(seen.peak, mib(memory["VmHWM"]))
        time.sleep(0.005)
    if process.wait():
        raise SystemExit(f"this run failed: {' '.join(command)}")
    return seen


def cpu_seconds(process: int) -> float:
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def mib(kilobytes: str) -> float:
    return int(kilobytes.split()[0]) / 1024


def measure(words: list[str]) -> Iterator[list[str]]:
    """A line of the table for each number of clients."""
    numbers = [word for word in words if word.isdigit()] or CLIENTS
    given = [word for word in words if "=" in word]
    shared = ["experiment=million_clients", "threads=1", "device=cpu", f"rounds={ROUNDS}"]
    for clients in numbers:
        with tempfile.TemporaryDirectory() as folder:
            heads = HEADS if "--heads" in words else []
            seen = watched([*shared, *heads, f"clients={clients}", *given], Path(folder) / "run")
        yield seen.line(clients)


def main(words: list[str]) -> None:
    print("| " + " | ".join(TITLES) + " |\n" + "|--:" * len(TITLES) + "|", flush=True)
    for line in measure(words):
        print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
