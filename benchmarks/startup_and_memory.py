"""Seconds until the first round, and peak memory above that of the imports.

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
from benchmarks.contender_process import CHECKOUT, Contender, python
from benchmarks.workloads import Workload, save

ROUNDS = 3
SECONDS, MEMORY = 6.0, 1.3  # the targets
PAIRS, CPU_SECONDS = 9, 1.5  # of the CPU time of a run of one round, and its target


def measure(workloads: list[Workload]) -> list[dict[str, Any]]:
    """Start-up and memory of the plain loop and of fedlit with engine=serial: one process after the other.

    The first row is the import of Lightning, torch included, which every user of Lightning waits for.
    """
    begin = time.monotonic()
    subprocess.run(python("-c", "import lightning.pytorch"), check=True)
    rows = [{"workload": "", "name": "`import lightning.pytorch` alone", "start_up": time.monotonic() - begin}]
    for w in workloads:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            file = folder / "workload.npz"
            save(w, file, ours.first_weights(w), ours.cohorts(w, ROUNDS))
            commands = {"bare": python("-m", "benchmarks.bare", str(file), "2")}
            for trainer in ("lightning", "vectorized"):
                words = [*ours.words(w, file, folder / trainer), f"trainer={trainer}", "engine=serial", "threads=2"]
                commands[trainer] = python("-m", "fedlit.run", *words)
            memory_of_bare = None
            for name, command in commands.items():
                row = {"workload": w.name, "name": name} | play(name, command, folder)
                row["ratio"] = None if memory_of_bare is None else row["above"] / memory_of_bare
                memory_of_bare = memory_of_bare or row["above"]
                rows.append(row)
                print(f"{w.name}, {name}: start-up {row['start_up']:.1f} s, {row['above']:.0f} MB", flush=True)
    return rows


def play(name: str, command: list[str], folder: Path) -> dict[str, Any]:
    """A few rounds: seconds until the first, peak memory, and memory of a process that only imports (MB)."""
    begin = time.monotonic()
    contender = Contender(name, command, folder / f"{name}.log")
    try:
        contender.ready()
        start_up = time.monotonic() - begin
        reports = [contender.round() for _ in range(ROUNDS)]
    finally:
        contender.stop()
    imports = _memory_of_imports(reports[0]["imported"])
    peak = reports[-1]["peak_mb"]
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


def _memory_of_imports(modules: list[str]) -> float:
    """The memory of a process that imports these modules and does nothing else."""
    command = python("-m", "benchmarks.memory")
    finished = subprocess.run(
        command, input="\n".join(modules), cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return float(finished.stdout.split()[-1])


if __name__ == "__main__":
    print(f"median {cpu_of_one_round():.2f} s; the target is {CPU_SECONDS} s")
