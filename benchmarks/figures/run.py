"""`make figures`: the runs of all settings that are not finished yet, then docs/figures.md and the README's table.

Stop it at any time; the same command goes on. A run is repeated only if its configuration has changed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contender_process import CHECKOUT
from benchmarks.figures import report, runs
from benchmarks.figures.papers import SETTINGS
from benchmarks.figures.setting import Setting
from benchmarks.figures.sweeps import run_folder, run_sweep
from fedlit.this_machine import machine_name


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    chosen = {name: SETTINGS[name] for name in options.settings}
    failed = [] if options.report_only else run_all(chosen, options.folder.absolute(), options.seeds, options.rounds)
    if options.docs is not None:
        readme = CHECKOUT / "README.md" if options.docs.absolute() == CHECKOUT / "docs" else None
        report.write(SETTINGS, report.collect(SETTINGS, options.folder), options.docs, readme)
    print(
        *(f"failed: {line}" for line in failed), report.short(chosen, report.collect(chosen, options.folder)), sep="\n"
    )
    return 1 if failed else 0


def run_all(
    settings: Mapping[str, Setting], folder: Path, most_seeds: int | None = None, rounds: int | None = None
) -> list[str]:
    """Bring all runs to their end, the first seed of each case first; returns the folders of runs that failed.

    Args:
        settings: by name.
        folder: each run has the folder <setting>/<case>/seed_<seed> in it, a sweep <setting>/seed_<seed>.
        most_seeds: leave out seeds after this many of each setting.
        rounds: the number of rounds of each run, to try whether the commands are right.
    """
    failed: list[Path] = []
    for name, setting in settings.items():
        for seed in setting.seeds[:most_seeds]:
            bring = _swept if setting.sweeps else _one_by_one
            failed += bring(setting, folder / name, seed, [] if rounds is None else [f"rounds={rounds}"])
    return [str(run) for run in failed]


def _one_by_one(setting: Setting, folder: Path, seed: int, more: list[str]) -> list[Path]:
    """A command for each case; returns the folders of runs that failed. more: overrides in addition."""
    failed = []
    for case in setting.cases:
        run = run_folder(setting, folder, case, seed)
        overrides = runs.begin_or_resume(run, setting.words(case, seed) + more)
        began = time.perf_counter()
        if overrides is not None and runs.run(overrides) != 0:
            failed.append(run)
            continue
        runs.note_machine(run, machine_name())
        took = "finished before" if overrides is None else f"{time.perf_counter() - began:.0f} s"
        print(f"{folder.name}/{case}/seed_{seed}: {took}", flush=True)
    return failed


def _swept(setting: Setting, folder: Path, seed: int, more: list[str]) -> list[Path]:
    """The sweep of all cases; returns as `_one_by_one`."""
    began = time.perf_counter()
    run_sweep(setting, folder, seed, more)
    found = [run_folder(setting, folder, case, seed, more) for case in setting.cases]
    for run in found:
        if (run / "summary.json").exists():
            runs.note_machine(run, machine_name())
    print(f"{folder.name}/seed_{seed}: {time.perf_counter() - began:.0f} s", flush=True)
    return [run for run in found if not (run / "summary.json").exists()]


def _name(word: str) -> str:
    if word not in SETTINGS:
        raise argparse.ArgumentTypeError(f"there is no setting {word}; there are {', '.join(SETTINGS)}")
    return word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures.run", description=__doc__)
    parser.add_argument(
        "settings", nargs="*", default=list(SETTINGS), type=_name, help=f"of {', '.join(SETTINGS)}; all without any"
    )
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "outputs" / "figures", help="where the runs lie")
    parser.add_argument("--docs", type=Path, default=None, help="write figures.json and figures.md into this folder")
    parser.add_argument("--seeds", type=int, default=None, help="at most this many seeds of each setting")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of each run, to try the commands")
    parser.add_argument("--report-only", action="store_true", help="run nothing; only the tables")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
