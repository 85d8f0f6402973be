"""runs.csv: which runs are in which row. It also says whose report a folder holds."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.report.grid import Grid
from fedlit.report.options import Options

RUNS = "runs.csv"


def runs_table(grid: Grid) -> str:
    """A line for each run: the swept values of its row, its seed and its folder."""
    records = [
        {**dict(zip(grid.keys, group.values, strict=True)), "seed": seed, "folder": str(run.folder)}
        for group in grid.groups
        for seed, run in sorted(group.runs.items())
    ]
    return pd.DataFrame.from_records(records).to_csv(index=False, lineterminator="\n")


def refuse_other_report(options: Options) -> None:
    """InputError if `report/` in the current folder, where the report of several folders is written unless `out` is
    given, holds the report of runs that are in none of these folders. With `out` the user has chosen the folder."""
    if options.out_is_given or len(options.folders) == 1:
        return
    named = [folder.resolve() for folder in options.folders]
    others = [run for run in _runs_of(options.out) if not any(run.is_relative_to(folder) for folder in named)]
    if others:
        shown = others[0].relative_to(Path.cwd()) if others[0].is_relative_to(Path.cwd()) else others[0]
        rest = f" and {counted(len(others) - 1, 'more run')}" if len(others) > 1 else ""
        raise InputError(
            f"{options.out}: this folder holds the report of other runs ({shown}{rest}); write out=<another folder>, "
            f"or out={options.out} to replace it."
        )


def _runs_of(report: Path) -> list[Path]:
    """The folders of the runs of an earlier report; none if it does not say them."""
    try:
        with open(report / RUNS, newline="", encoding="utf-8") as file:
            return [Path(line["folder"]).resolve() for line in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, TypeError):
        return []
