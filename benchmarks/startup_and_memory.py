"""How long until the first round, and how much memory above what the imports take.

`python -m benchmarks.startup_and_memory` measures the CPU time of a run of one round above that of Lightning's import.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.pipe import CHECKOUT, Contender, python
from benchmarks.workloads import Workload, save

ROUNDS = 3
SECONDS, MEMORY = 6.0, 1.3  # the targets
PAIRS, CPU_SECONDS = 9, 1.5  # of the CPU time of a run of one round, and its target


def measure(workloads: list[Workload]) -> list[dict[str, Any]]:
    """Start-up and memory of the plain loop and of fedlit with engine=serial: one process after the other.

    First what no user of Lightning starts without: the time of its import, with that of torch.
    """
    begin = time.monotonic()
    subprocess.run(python("-c", "import lightning.pytorch"), check=True)
    rows = [{"workload": "", "name": "`import lightning.pytorch` alone", "start_up": time.monotonic() - begin}]
    for w in workloads:
        with tempfile.TemporaryDirectory() as made:
            folder, file = Path(made), Path(made) / "workload.npz"
            save(w, file, ours.first_weights(w), ours.cohorts(w, ROUNDS))
            commands = {"bare": python("-m", "benchmarks.bare", str(file), "2")}
            for trainer in ("lightning", "vectorized"):
                words = [*ours.words(w, file, folder / trainer), f"trainer={trainer}", "engine=serial", "threads=2"]
                commands[trainer] = python("-m", "fedlit.run", *words)
            above_bare = None
            for name, command in commands.items():
                row = {"workload": w.name, "name": name} | play(name, command, folder)
                row["ratio"] = None if above_bare is None else row["above"] / above_bare
                above_bare = above_bare or row["above"]
                rows.append(row)
                print(f"{w.name}, {name}: start-up {row['start_up']:.1f} s, {row['above']:.0f} MB", flush=True)
    return rows


def play(name: str, command: list[str], folder: Path) -> dict[str, Any]:
    """A few rounds: seconds until the first, the peak of memory, and that of a process that only imports (MB)."""
    begin = time.monotonic()
    contender = Contender(name, command, folder / f"{name}.log")
    try:
        contender.ready()
        start_up = time.monotonic() - begin
        told = [contender.round() for _ in range(ROUNDS)]
    finally:
        contender.stop()
    imports = _imports(told[0]["imported"])
    peak = told[-1]["peak_mb"]
    return {"start_up": start_up, "peak_mb": peak, "imports": imports, "above": peak - imports}


def cpu_of_one_round(pairs: int = PAIRS) -> float:
    """CPU time of a run of one round minus that of Lightning's import, seconds; the median of alternated pairs."""
    differences = []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            imports = cpu_time(python("-c", "import lightning.pytorch"))
            run = cpu_time(python("-m", "fedlit.run", "rounds=1", f"hydra.run.dir={folder}/run"))
        differences.append(run - imports)
        print(f"import {imports:.2f} s, run {run:.2f} s, difference {run - imports:.2f} s", flush=True)
    return statistics.median(differences)


def cpu_time(command: Sequence[str]) -> float:
    """User and system time of a process and of those that it waits for, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _imports(modules: list[str]) -> float:
    """What a process takes that imports the same modules and does nothing."""
    command = python("-m", "benchmarks.memory")
    done = subprocess.run(command, input="\n".join(modules), cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    print(f"median {cpu_of_one_round():.2f} s; the target is {CPU_SECONDS} s")
