"""The cases of a setting that are runs of a sweep. fedlit finds the runs that have ended, and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import runs
from benchmarks.figures.setting import Setting


def run_folder(setting: Setting, folder: Path, case: str, seed: int, more: Sequence[str] = ()) -> Path:
    """Where a run lies in the folder of its setting; in a sweep the newest one with its overrides.

    Args:
        setting: of the run.
        folder: of the setting.
        case: of the setting.
        seed: of the run.
        more: overrides that the run had in addition.
    """
    if not setting.sweeps:
        return folder / case / f"seed_{seed}"
    words = [*setting.words(case, seed), *more]
    jobs = [file.parent for file in _sweep_folder(folder, seed).glob("*/summary.json")]
    matching = [job for job in jobs if runs.has_words(job, words)]
    newest = max(matching, key=lambda job: (job / "summary.json").stat().st_mtime, default=None)
    return newest or _sweep_folder(folder, seed) / case


def run_sweep(setting: Setting, folder: Path, seed: int, more: Sequence[str] = ()) -> None:
    """Run what has not ended; with `more` overrides other runs."""
    for words in setting.sweep_words(seed):
        runs.run(["-m", *words, *more, f"hydra.sweep.dir={_sweep_folder(folder, seed)}"])


def _sweep_folder(folder: Path, seed: int) -> Path:
    return folder / f"seed_{seed}"
