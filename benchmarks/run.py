"""`make bench`: all workloads, start-up and memory, the number of clients; docs/benchmarks.md and .json.

python -m benchmarks.run --help lists what can be left out for a shorter run, which is not written into docs/.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ours, scaling, startup_and_memory, table
from benchmarks.combinations import entries, missing_peers
from benchmarks.interleaved import Result, tournament
from benchmarks.pipe import CHECKOUT
from benchmarks.workloads import WORKLOADS, Workload, save

PARTS = [*WORKLOADS, "startup", "scaling"]


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    absent = [f"{name} is not installed and left out; `make bench-peers` installs it." for name in missing_peers()]
    print(*absent, sep="\n", flush=True)
    command = (
        "make bench" if list(arguments) == ["--out", "docs"] else "python -m benchmarks.run " + " ".join(arguments)
    )
    report = Report(asked.out, " ".join([table.heading(command, table.cores()), *absent]))
    for name in asked.parts:
        if name == "startup":
            report.add_start_up(startup_and_memory.measure(list(WORKLOADS.values())))
        elif name == "scaling":
            report.add_scaling(list(scaling.measure([])))
        else:
            w = WORKLOADS[name]
            found = measure(w, asked.warm_ups, asked.rounds or w.rounds, asked.only, not asked.no_peers)
            report.add_workload(w, found, asked.warm_ups)
        report.write()  # now already: what comes next may fail
    print(report.text())
    if report.measured:
        print(f"\nFor the README, ratios to the plain loop:\n\n{table.short(report.measured)}")
    return 1 if any(r.failed for results in report.measured.values() for r in results) else 0


class Report:
    """What was measured so far, as Markdown and as JSON."""

    def __init__(self, folder: Path, heading: str):
        self.folder, self.heading = folder, heading
        self.measured: dict[str, list[Result]] = {}
        self.sections: list[str] = []
        self.record: dict[str, Any] = {"heading": heading, "workloads": {}}

    def add_workload(self, w: Workload, results: list[Result], warm_ups: int) -> None:
        self.measured[w.name] = results
        self._add(table.workload(w, results, warm_ups))
        self.record["workloads"][w.name] = [asdict(r) | {"median": r.median, "ratio": r.ratio} for r in results]

    def add_start_up(self, rows: list[dict[str, Any]]) -> None:
        self.record["startup"] = rows
        self._add(table.start_up(rows, startup_and_memory.SECONDS, startup_and_memory.MEMORY))

    def add_scaling(self, rows: list[list[str]]) -> None:
        self.record["scaling"] = [dict(zip(scaling.TITLES, row, strict=True)) for row in rows]
        self._add(table.scaling(scaling.TITLES, rows))

    def _add(self, section: str) -> None:
        self.sections.append(section)
        print(section, flush=True)

    def text(self) -> str:
        return "\n\n".join(self._parts())

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        table.write(self.folder / "benchmarks.md", self._parts())
        (self.folder / "benchmarks.json").write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def _parts(self) -> list[str]:
        ratios = [table.ratios(self.measured)] if self.measured else []
        return [self.heading, *ratios, *self.sections]


def measure(w: Workload, warm_ups: int, rounds: int, only: str = "", peers: bool = True) -> list[Result]:
    """One workload: the plain loops, and all other contenders whose names match `only`."""
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "workload.npz"
        cohorts = ours.cohorts(w, warm_ups + rounds)
        save(w, file, ours.first_weights(w), cohorts)
        found = [e for e in entries(w, file, Path(made), peers) if e.kind == "bare" or re.search(only, e.name)]
        return tournament(w, found, cohorts, warm_ups, rounds, Path(made))


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
        help=f"of {', '.join(PARTS)}; without any, all of them",
    )
    parser.add_argument("--rounds", type=int, default=0, help="measured rounds; 0: as many as each workload says")
    parser.add_argument("--warm-ups", type=int, default=2, help="rounds before them; in the first, steps are compiled")
    parser.add_argument("--only", default="", metavar="REGEX", help="contenders beside the plain loop, by name")
    parser.add_argument("--no-peers", action="store_true", help="without other frameworks")
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "outputs" / "benchmarks", help="folder of benchmarks.md and .json"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
