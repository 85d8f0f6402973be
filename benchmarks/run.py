"""`make bench`: every workload, start-up and memory; docs/benchmarks.md and docs/benchmarks.json.

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

from benchmarks import ours, startup_and_memory, table
from benchmarks.combinations import entries, missing_peers
from benchmarks.interleaved import Result, compete
from benchmarks.pipe import CHECKOUT
from benchmarks.workloads import WORKLOADS, Workload, save

PARTS = [*WORKLOADS, "startup"]


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    for name in missing_peers():
        print(f"{name} is not installed and left out; `make bench-peers` installs it", flush=True)
    measured: dict[str, list[Result]] = {}
    sections: list[str] = []
    record: dict[str, Any] = {"workloads": {}}
    for name in (part for part in asked.parts if part in WORKLOADS):
        w = WORKLOADS[name]
        measured[name] = measure(w, asked.warm_ups, asked.rounds, asked.only, not asked.no_peers)
        sections.append(table.workload(w, measured[name], asked.warm_ups))
        record["workloads"][name] = [asdict(r) | {"median": r.median} for r in measured[name]]
        print(sections[-1], flush=True)
    if "startup" in asked.parts:
        rows = record["startup"] = startup_and_memory.measure(list(WORKLOADS.values()))
        sections.append(table.start_up(rows, startup_and_memory.SECONDS, startup_and_memory.MEMORY))
    command = "make bench" if asked.out == CHECKOUT / "docs" else "python -m benchmarks.run " + " ".join(arguments)
    head = record["heading"] = table.heading(command, table.cores())
    if measured:
        sections.insert(0, table.ratios(measured))
    asked.out.mkdir(parents=True, exist_ok=True)
    table.write(asked.out / "benchmarks.md", [head, *sections])
    (asked.out / "benchmarks.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n\n".join([head, *sections]))
    return 1 if any(r.failed for results in measured.values() for r in results) else 0


def measure(w: Workload, warm_ups: int, rounds: int, only: str = "", peers: bool = True) -> list[Result]:
    """One workload: the plain loops, and all other contenders whose names match `only`."""
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "workload.npz"
        cohorts = ours.cohorts(w, warm_ups + rounds)
        save(w, file, ours.first_weights(w), cohorts)
        found = [e for e in entries(w, file, Path(made), peers) if e.kind == "bare" or re.search(only, e.name)]
        return compete(w, found, cohorts, warm_ups, rounds, Path(made))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="part", help=f"of {', '.join(PARTS)}; all of them")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds")
    parser.add_argument("--warm-ups", type=int, default=2, help="rounds before them")
    parser.add_argument("--only", default="", metavar="REGEX", help="contenders beside the plain loop, by name")
    parser.add_argument("--no-peers", action="store_true", help="without other frameworks")
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "outputs" / "benchmarks", help="folder of benchmarks.md and .json"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
