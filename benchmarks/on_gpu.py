"""fedlit against the plain loop on one GPU: `python -m benchmarks.on_gpu --out FOLDER`, which scripts/on_gpu.sh calls.

The contenders of a workload are processes on the same GPU, whose rounds interleave as in `make bench`. The plain loop
keeps network and data on the GPU. Results are written after each workload, as on_gpu.json and on_gpu.md; a workload for
which too little time is left is named there. `--device cpu --tiny` tries the same on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks import ours, table
from benchmarks.combinations import Entry
from benchmarks.contender_process import CHECKOUT, python
from benchmarks.interleaved import Result, compete
from benchmarks.workloads import CIFAR10, WORKLOADS, Workload, save
from fedlit.this_machine import cores

ORDER = (WORKLOADS["W3"], CIFAR10, WORKLOADS["W1"], WORKLOADS["W2"])
ROUNDS, WARM_UPS = 5, 2  # the second warm-up has no compilation
NEEDED = 25.0  # seconds that the contenders of a workload take to start and to play a few rounds


def entries(w: Workload, file: Path, folder: Path, device: str) -> list[Entry]:
    """The contenders of a workload on a device, "cuda" or "cpu"; the plain loop first."""
    threads = min(8, cores())
    common_words = [*ours.words(w, file, folder / "run", "gpu" if device == "cuda" else "cpu"), f"threads={threads}"]
    whole_cohort = f"trainer.chunk={w.per_round}"
    options: dict[str, list[str]] = {
        "lightning": ["trainer=lightning"],
        "lightning, 2 workers": ["trainer=lightning", "engine=processes", "engine.workers=2"],
        "vectorized": ["trainer=vectorized"],
        "vectorized, cohort as one chunk": ["trainer=vectorized", whole_cohort],
    }
    if len(w.shape) == 3:
        options["vectorized, cohort as one chunk, bf16"] = [
            *options["vectorized, cohort as one chunk"],
            "trainer.precision=bf16-mixed",
        ]
    else:
        mode = "reduce-overhead" if device == "cuda" else "trace"
        options[f"vectorized, cohort as one chunk, {mode}"] = [
            *options["vectorized, cohort as one chunk"],
            f"trainer.compile={mode}",
        ]
    plain = Entry("bare", "bare", python("-m", "benchmarks.bare", str(file), str(threads), device))
    return [plain] + [
        Entry(
            name,
            "fedlit",
            python("-m", "benchmarks.ours", *common_words, *words, f"hydra.run.dir={folder / f'run{number}'}"),
            "bf16" if name.endswith("bf16") else "float32",
        )
        for number, (name, words) in enumerate(options.items())
    ]


def tiny(w: Workload) -> Workload:
    """A few small clients of the same network, to try the benchmark itself."""
    return replace(w, clients=8, samples=min(w.samples, 40), per_round=4)


def measure(w: Workload, device: str) -> list[Result]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cohorts = ours.cohorts(w, WARM_UPS + ROUNDS)
        save(w, folder / "workload.npz", ours.first_weights(w), cohorts)
        return compete(w, entries(w, folder / "workload.npz", folder, device), cohorts, WARM_UPS, ROUNDS, folder)


class Report:
    """The results so far, as JSON and as Markdown, with the device, the versions and the date."""

    def __init__(self, folder: Path, command: str, device: str):
        self.folder = folder
        self.device = device_name(device)
        self.sentence = f"{table.measured(command)} Device: {self.device}."
        self.sections: list[str] = []
        self.results: dict[str, Any] = {}
        self.absent: list[str] = []

    def add(self, w: Workload, results: list[Result]) -> None:
        self.results[w.name] = {"workload": asdict(w), "results": [asdict(r) for r in results]}
        self.sections.append(table.workload(w, results, WARM_UPS))
        self.write()

    def leave_out(self, w: Workload) -> None:
        self.absent.append(f"{w.name}, {w.title}: not measured, too little time was left.")
        self.write()

    def write(self) -> None:
        facts: dict[str, Any] = {"measured": self.sentence, "device": self.device, "date": date.today().isoformat()}
        facts |= {"torch": torch.__version__, "not_measured": self.absent, "workloads": self.results}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "on_gpu.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        page = "\n\n".join(["## On a GPU", self.sentence, *self.absent, *self.sections])
        (self.folder / "on_gpu.md").write_text(page + "\n", encoding="utf-8")


def device_name(device: str) -> str:
    """The GPU with its CUDA version, or the CPU."""
    if device != "cuda":
        return "the CPU, in sizes that measure nothing"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started it in the background
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU; --device cpu --tiny tries the benchmark without one", file=sys.stderr)
        return 2
    ends = time.monotonic() + options.seconds
    report = Report(options.out, "python -m benchmarks.on_gpu " + shlex.join(arguments), options.device)
    failed = False
    for workload in ORDER:
        w = tiny(workload) if options.tiny else workload
        if time.monotonic() + NEEDED > ends:
            report.leave_out(w)
            failed = True
            continue
        results = measure(w, options.device)
        failed = failed or any(r.failed for r in results)
        report.add(w, results)
    print((options.out / "on_gpu.md").read_text(encoding="utf-8"))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=150.0, help="no workload starts too late to end by then")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the benchmark itself")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "outputs" / "gpu", help="folder of on_gpu.json and .md")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
