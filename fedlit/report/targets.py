"""rounds_to_target.md: the rounds, bytes and seconds until a metric first reaches a value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pandas as pd

from fedlit.report.columns import Column
from fedlit.report.costs import BYTES, SECONDS
from fedlit.report.digits import column_texts, joined
from fedlit.report.grid import Grid
from fedlit.report.results import Results, mean_and_std, problems
from fedlit.report.shown_table import ShownTable, plain_row
from fedlit.saved_run import SavedRun
from fedlit.tracking.targets import costs_until


@dataclass(frozen=True)
class Reached:
    """The cost of a row until the target.

    Attributes:
        costs: a row for each seed that reached it, columns round, bytes and seconds.
        seeds: number of all seeds.
    """

    row: int
    target: float
    costs: pd.DataFrame
    seeds: int


def reached(grid: Grid, column: Column, cells: Results, wanted: Sequence[float]) -> list[Reached]:
    """For each target and row. Without wanted targets, those that the runs themselves had; without these, in each
    problem the mean at the end of its worst row, which all rows reach or nearly reach, and that of its best row."""
    if not column.sign:
        return []
    wanted = list(wanted) or targets_of_runs(grid, column)
    rows_and_targets = []
    for rows in problems(grid):
        means = [cells[row, column.metric].mean for row in rows if math.isfinite(cells[row, column.metric].mean)]
        ends = sorted({rounded_to_worse(mean, column.sign) for mean in means}, key=lambda mean: column.sign * mean)
        targets = list(wanted) or list(dict.fromkeys([*ends[:1], *ends[-1:]]))
        rows_and_targets += [(row, target) for target in targets for row in rows]
    return [_reached(grid, row, column, target) for row, target in rows_and_targets]


def targets_table(grid: Grid, entries: Sequence[Reached]) -> ShownTable:
    """A row for each target and row of the report."""
    columns = [_cost_texts(entries, "round"), _cost_texts(entries, BYTES, 1e6, " MB"), _cost_texts(entries, SECONDS)]
    rows = []
    for entry, *costs in zip(entries, *columns, strict=True):
        name = grid.name(grid.groups[entry.row])
        rows.append(plain_row([name, f"{entry.target:g}", f"{len(entry.costs)} of {entry.seeds}", *costs]))
    return ShownTable(["row", "target", "seeds that reached it", "round", "bytes", "seconds"], rows, 1)


def targets_legend(column: Column, entries: Sequence[Reached]) -> str:
    """How the table is read: one paragraph."""
    if not column.sign:
        return f"{column.metric}: neither direction is declared to be better, so there is no target to reach."
    text = (
        f"First evaluated round in which {column.metric} is at the target or better, and the bytes (down and up, "
        "1 MB is 10^6 bytes) and seconds until its end: mean ± standard deviation over the seeds that reached it."
    )
    if any(0 < len(entry.costs) < entry.seeds for entry in entries):
        text += " Where fewer than all seeds reached the target, the mean leaves out those that did not."
    return text


def first_reached(run: SavedRun, column: Column, target: float) -> pd.Series | None:
    """Round, bytes and seconds of the first round at the target; None if the run has not reached it."""
    costs = costs_until(run.rows, column.metric, target, column.sign)
    return None if costs is None else pd.Series(costs, dtype=float)


def percent_notes(runs: Sequence[SavedRun], column: Column, targets: Sequence[float]) -> list[str]:
    """A sentence on targets above 1 of a metric that is a fraction in all rounds: 90 for 0.9, which no run reaches."""
    values = [value for run in runs for row in run.rows if math.isfinite(value := row.get(column.metric, math.nan))]
    if column.sign < 1 or not values or not all(0 <= value <= 1 for value in values):
        return []
    return [
        f"target={target:g}: {column.metric} lies between 0 and 1 in all runs; write target={target / 100:g} for "
        f"{target:g} per cent."
        for target in targets
        if 1 < target <= 100
    ]


def targets_of_runs(grid: Grid, column: Column) -> list[float]:
    """The targets of a metric in the summaries of runs."""
    summaries = [run.summary or {} for group in grid.groups for run in group.runs.values()]
    entries = [entry for summary in summaries for entry in (summary.get("targets") or {}).get(column.metric) or ()]
    return sorted({float(entry["value"]) for entry in entries})


def rounded_to_worse(value: float, sign: int) -> float:
    """Three digits of a value, rounded to the side that is reached first.

    >>> rounded_to_worse(0.8669, 1), rounded_to_worse(1.1821, -1), rounded_to_worse(0.0, 1)
    (0.866, 1.19, 0.0)
    """
    if not value:
        return 0.0
    unit = Decimal(1).scaleb(Decimal(value).adjusted() - 2)
    return float(Decimal(value).quantize(unit, ROUND_FLOOR if sign > 0 else ROUND_CEILING))


def _reached(grid: Grid, row: int, column: Column, target: float) -> Reached:
    runs = grid.groups[row].runs.values()
    costs = [cost for run in runs if (cost := first_reached(run, column, target)) is not None]
    return Reached(row, target, pd.DataFrame(costs), len(runs))


def _cost_texts(entries: Sequence[Reached], cost: str, unit: float = 1.0, name: str = "") -> list[str]:
    pairs = [mean_and_std(entry.costs.get(cost, pd.Series(dtype=float)).to_numpy() / unit) for entry in entries]
    texts = [joined(*pair) for pair in column_texts(pairs)]
    return [text if text == "-" else f"{text}{name}" for text in texts]
