"""`make bench`: all workloads, start-up and memory, the number of clients; docs/benchmarks.md and .json.

python -m benchmarks.run --help lists what a shorter run can leave out; it does not write into docs/.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ours, scaling, startup_and_memory, table
from benchmarks.combinations import entries, missing_peers
from benchmarks.contender_process import CHECKOUT
from benchmarks.interleaved import Result, tournament
from benchmarks.workloads import WORKLOADS, Workload, save

PARTS = [*WORKLOADS, "startup", "scaling"]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    absent = [f"{name} is not installed and left out; `make bench-peers` installs it." for name in missing_peers()]
    print(*absent, sep="\n", flush=True)
    command = (
        "make bench" if list(arguments) == ["--out", "docs"] else "python -m benchmarks.run " + shlex.join(arguments)
    )
    report = Report(options.out, " ".join([table.measured(command), *absent]))
    failed = False
    for name in options.parts:
        if name == "startup":
            report.add_start_up(startup_and_memory.measure(list(WORKLOADS.values())))
        elif name == "scaling":
            report.add_scaling(list(scaling.measure([])))
        else:
            w = WORKLOADS[name]
            results = measure(w, options.warm_ups, options.rounds or w.rounds, options.only, not options.no_peers)
            report.add_workload(w, results, options.warm_ups)
            failed = failed or any(r.failed for r in results)
        report.write()  # after each part: the next one may fail
    print(f"\nFor the README, ratios to the plain loop:\n\n{table.short(report.results)}")
    return 1 if failed else 0


class Report:
    """All measurements, as Markdown and as JSON. Parts that are not measured in this run keep their earlier results."""

    def __init__(self, folder: Path, measured: str):
        """
        Args:
            measured: a sentence: by which command, when and where this run measures.
        """
        self.folder, self.measured = folder, measured
        self.file = folder / "benchmarks.json"
        self.parts: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}

    def add_workload(self, w: Workload, results: list[Result], warm_ups: int) -> None:
        self._add(w.name, table.workload(w, results, warm_ups), [asdict(r) for r in results])

    def add_start_up(self, rows: list[dict[str, Any]]) -> None:
        self._add("startup", table.start_up(rows, startup_and_memory.SECONDS, startup_and_memory.MEMORY), rows)

    def add_scaling(self, rows: list[list[str]]) -> None:
        text = table.scaling(scaling.TITLES, rows)
        self._add("scaling", text, [dict(zip(scaling.TITLES, row, strict=True)) for row in rows])

    def _add(self, part: str, text: str, rows: list[dict[str, Any]]) -> None:
        self.parts[part] = {"measured": self.measured, "text": text, "found": rows}
        print(text, flush=True)

    @property
    def results(self) -> dict[str, list[Result]]:
        """By workload."""
        return {n: [Result(**r) for r in self.parts[n]["found"]] for n in WORKLOADS if n in self.parts}

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ratios = [table.ratios(self.results)] if self.results else []
        parts = [self.parts[n] for n in PARTS if n in self.parts]
        sections = [f"{part['text']}\n\n{part['measured']}" for part in parts]
        table.write(self.folder / "benchmarks.md", ["## Measured", *ratios, *sections])
        self.file.write_text(json.dumps(self.parts, indent=1) + "\n", encoding="utf-8")


def measure(w: Workload, warm_ups: int, rounds: int, only: str = "", peers: bool = True) -> list[Result]:
    """One workload: the plain loops, and all other contenders whose names match `only`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "workload.npz"
        cohorts = ours.cohorts(w, warm_ups + rounds)
        save(w, file, ours.first_weights(w), cohorts)
        chosen = [e for e in entries(w, file, folder, peers) if e.kind == "bare" or re.search(only, e.name)]
        return tournament(w, chosen, cohorts, warm_ups, rounds, folder)


def _part(word: str) -> str:
    if word not in PARTS:
        raise argparse.ArgumentTypeError(f"there is no part {word}; there are {', '.join(PARTS)}")
    return word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        default=PARTS,
        type=_part,
        metavar="part",
        help=f"one of {', '.join(PARTS)}; without any, all of them",
    )
    parser.add_argument("--rounds", type=int, default=0, help="measured rounds; 0: the number of each workload")
    parser.add_argument("--warm-ups", type=int, default=2, help="rounds before them; the first one compiles the steps")
    parser.add_argument("--only", default="", metavar="REGEX", help="contenders other than the plain loop, by name")
    parser.add_argument("--no-peers", action="store_true", help="without other frameworks")
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "outputs" / "benchmarks", help="folder of benchmarks.md and .json"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
