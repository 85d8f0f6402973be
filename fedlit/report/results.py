"""Means and standard deviations over seeds: the numbers of the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fedlit.plurals import counted
from fedlit.report.columns import Column
from fedlit.report.grid import Grid, Group
from fedlit.saved_run import SavedRun


@dataclass(frozen=True)
class Cell:
    """A metric over the seeds of a row.

    Attributes:
        values: finite values by seed.
        not_finite: seeds whose value is NaN or infinite.
        mean: NaN without a value.
        std: of a sample (ddof 1); NaN for fewer than two values.
        best: whether it is the best of the rows that it may be compared with.
    """

    values: pd.Series
    not_finite: tuple[int, ...]
    mean: float
    std: float
    best: bool = False


Results = dict[tuple[int, str], Cell]
"""(index of the row, metric) -> cell."""


def results(grid: Grid, columns: Sequence[Column], notes: list[str]) -> Results:
    """All cells. A seed whose value is not finite is left out of the mean, and a note names it.

    A row with such a seed is never marked as the best one: its mean is that of the seeds that went well. Where this
    mean is better than all others, no row is marked.
    """
    cells: Results = {}
    for row_index, group in enumerate(grid.groups):
        for column in columns:
            cells[row_index, column.metric] = _cell(grid, group, column)
        notes += _not_finite_notes(grid, group, [(column, cells[row_index, column.metric]) for column in columns])
    for column in columns:
        for rows in problems(grid).values():
            best = best_row(cells, column, rows)
            if best is not None and len(rows) > 1 and not _beaten(cells, column, rows, best):
                for row in rows:  # equal means are all the best
                    cell = cells[row, column.metric]
                    if cell.mean == cells[best, column.metric].mean and not cell.not_finite:
                        cells[row, column.metric] = replace(cell, best=True)
    return cells


def problems(grid: Grid) -> dict[tuple[str, ...], list[int]]:
    """The rows of each problem: the same data, partition and evaluation."""
    rows: dict[tuple[str, ...], list[int]] = {}
    for row_index, group in enumerate(grid.groups):
        rows.setdefault(grid.problem(group), []).append(row_index)
    return rows


def best_row(cells: Results, column: Column, rows: Sequence[int]) -> int | None:
    """The row with the best mean, the first of equals; None if the metric has no direction or no row has a mean."""
    eligible = [
        row for row in rows if len(cells[row, column.metric].values) and not cells[row, column.metric].not_finite
    ]
    if not column.sign or not eligible:
        return None
    return max(eligible, key=lambda row: column.sign * cells[row, column.metric].mean)


def _beaten(cells: Results, column: Column, rows: Sequence[int], best: int) -> bool:
    """Whether a row with seeds that are not finite has a better mean than the best of the others."""
    signed = [column.sign * cells[row, column.metric].mean for row in (*rows, best)]
    return any(mean > signed[-1] for mean in signed)


def value_at(run: SavedRun, metric: str, at_round: int | None) -> float:
    """A metric of a round, or of the last round; NaN if that round lacks it."""
    rows = [row for row in run.rows if at_round is None or row["round"] == at_round]
    return float(rows[-1].get(metric, math.nan)) if rows else math.nan


def _not_finite_notes(grid: Grid, group: Group, row: Sequence[tuple[Column, Cell]]) -> list[str]:
    """A sentence for each seed that has values which are not finite."""
    notes = []
    for seed in sorted({seed for _, cell in row for seed in cell.not_finite}):
        metrics = [column.metric for column, cell in row if seed in cell.not_finite]
        named = metrics[0] if len(metrics) == 1 else f"{metrics[0]} and {counted(len(metrics) - 1, 'more metric')}"
        notes.append(
            f"{grid.name(group)}: seed {seed} has no finite value of {named}; the mean leaves this seed out, and the "
            "row is not marked as the best one."
        )
    return notes


def _cell(grid: Grid, group: Group, column: Column) -> Cell:
    values = pd.Series(
        {seed: value_at(run, column.metric, grid.round) for seed, run in group.runs.items()}, dtype=float
    )
    values = values.sort_index()
    finite = values[values.map(math.isfinite)]
    not_finite = tuple(int(seed) for seed in values.index.difference(finite.index))
    return Cell(finite, not_finite, float(finite.mean()), float(finite.std(ddof=1)))
