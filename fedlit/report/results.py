"""Means and standard deviations over seeds: the numbers of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fedlit.metric_names import client_model, is_global
from fedlit.plurals import counted
from fedlit.report.columns import Column
from fedlit.report.grid import Grid, Group
from fedlit.saved_run import SavedRun

_MOST_NAMES = 4  # of rows in a note
EQUAL = 1e-12  # times the largest value: values that differ by less are equal


@dataclass(frozen=True)
class Cell:
    """A metric over the seeds of a row.

    Attributes:
        values: finite values by seed.
        not_finite: seeds whose value is NaN or infinite.
        not_measured: seeds of runs without a value.
        absent: whether no run of the row has measured the metric in any round, such as that of a global model where the
            algorithm has none. Then nothing is left out of a mean.
        earlier: seed -> round, for values of runs whose last round has not measured the metric.
        mean: NaN without a value.
        std: of a sample (ddof 1); NaN for fewer than two values.
        best: whether it is the best of the rows that it may be compared with.
    """

    values: pd.Series
    not_finite: tuple[int, ...]
    not_measured: tuple[int, ...]
    earlier: Mapping[int, int]
    mean: float
    std: float
    absent: bool = False
    best: bool = False

    @property
    def left_out(self) -> tuple[int, ...]:
        """The seeds that the mean leaves out."""
        return () if self.absent else (*self.not_finite, *self.not_measured)


Results = dict[tuple[int, str], Cell]
"""(index of the row, metric) -> cell."""


def results(grid: Grid, columns: Sequence[Column], notes: list[str]) -> Results:
    """All cells. A seed without a finite value is left out of the mean, and a note names it.

    A row with such a seed is never marked as the best one: its mean is that of the seeds that went well. Where this
    mean is better than all others, no row is marked.
    """
    cells: Results = {}
    for row_index, group in enumerate(grid.groups):
        for column in columns:
            cells[row_index, column.metric] = _cell(grid, group, column)
        notes += _notes(grid.name(group), {column.metric: cells[row_index, column.metric] for column in columns})
    notes += _absent_notes(grid, columns, cells)
    for column in columns:
        for rows in problems(grid):
            best = best_row(cells, column, rows)
            measured = [row for row in rows if not cells[row, column.metric].absent]
            if best is not None and len(measured) > 1 and not _beaten(cells, column, rows, best):
                for row in rows:  # equal means are all the best
                    cell = cells[row, column.metric]
                    if cell.mean == cells[best, column.metric].mean and not cell.left_out:
                        cells[row, column.metric] = replace(cell, best=True)
    return cells


def problems(grid: Grid) -> list[list[int]]:
    """The rows of each problem: the same data, partition and evaluation, whichever key has set them."""
    rows: dict[frozenset[tuple[str, str]], list[int]] = {}
    for row_index, group in enumerate(grid.groups):
        rows.setdefault(frozenset(group.problem.items()), []).append(row_index)
    return list(rows.values())


def best_row(cells: Results, column: Column, rows: Sequence[int]) -> int | None:
    """The row with the best mean, the first of equals; None if the metric has no direction or no row has a mean."""
    eligible = [row for row in rows if len(cells[row, column.metric].values) and not cells[row, column.metric].left_out]
    if not column.sign or not eligible:
        return None
    return max(eligible, key=lambda row: column.sign * cells[row, column.metric].mean)


def _beaten(cells: Results, column: Column, rows: Sequence[int], best: int) -> bool:
    """Whether a row that leaves seeds out has a better mean than the best of the others."""
    signed = [column.sign * cells[row, column.metric].mean for row in (*rows, best)]
    return any(mean > signed[-1] for mean in signed)


def value_at(run: SavedRun, metric: str, at_round: int | None) -> float:
    """A metric of a round, or of the last round that has measured it; NaN without one."""
    measured = run.measured(metric, at_round)
    return math.nan if measured is None else measured[1]


def _notes(row: str, cells: Mapping[str, Cell]) -> list[str]:
    """A sentence for each seed without finite values, and for values of other rounds than the last.

    Args:
        row: its name.
        cells: by metric.
    """
    left_out = "the mean leaves this seed out, and the row is not marked as the best one"
    notes = []
    for seed in sorted({seed for cell in cells.values() for seed in cell.left_out}):
        if metrics := [metric for metric, cell in cells.items() if seed in cell.not_finite]:
            notes.append(f"{row}: seed {seed} has no finite value of {_named(metrics)}; {left_out}.")
        if metrics := [metric for metric, cell in cells.items() if seed in cell.not_measured and not cell.absent]:
            notes.append(f"{row}: seed {seed} has not measured {_named(metrics)}; {left_out}.")
    for seed, number in sorted({pair for cell in cells.values() for pair in cell.earlier.items()}):
        metrics = [metric for metric, cell in cells.items() if cell.earlier.get(seed) == number]
        notes.append(
            f"{row}: seed {seed} ends in a round that has not measured {_named(metrics)}; the value is of round "
            f"{number}."
        )
    return notes


def _absent_notes(grid: Grid, columns: Sequence[Column], cells: Results) -> list[str]:
    """A sentence for the rows that have measured the same metrics in no round."""
    rows_by_sentence: dict[str, list[str]] = {}
    for row_index, group in enumerate(grid.groups):
        metrics = [column.metric for column in columns if cells[row_index, column.metric].absent]
        if metrics and group.runs:
            sentence = f"{_named(metrics)} {'is' if len(metrics) == 1 else 'are'} not measured"
            if all(map(is_global, metrics)) and _has_no_global(group):
                sentence += ", because there is no global model"
            rows_by_sentence.setdefault(sentence, []).append(grid.name(group))
    notes = []
    for sentence, rows in rows_by_sentence.items():
        rest = f" and {counted(len(rows) - _MOST_NAMES, 'more row')}" if len(rows) > _MOST_NAMES else ""
        notes.append(f"{'; '.join(rows[:_MOST_NAMES])}{rest}: {sentence}.")
    return notes


def _has_no_global(group: Group) -> bool:
    """Whether clients' models were measured, and a global one never."""
    names = {name for run in group.runs.values() for row in run.rows for name in row}
    return any(map(client_model, names)) and not any(map(is_global, names))


def _named(metrics: Sequence[str]) -> str:
    if len(metrics) <= 2:
        return " and ".join(metrics)
    return f"{metrics[0]} and {counted(len(metrics) - 1, 'more metric')}"


def _cell(grid: Grid, group: Group, column: Column) -> Cell:
    all_measured = {seed: run.measured(column.metric, grid.round) for seed, run in group.runs.items()}
    measured = {seed: pair for seed, pair in sorted(all_measured.items()) if pair is not None}
    values = pd.Series({seed: value for seed, (_, value) in measured.items()}, dtype=float)
    finite = values[values.map(math.isfinite)]
    not_finite = tuple(int(seed) for seed in values.index.difference(finite.index))
    not_measured = tuple(sorted(group.runs.keys() - measured.keys()))
    last = {seed: grid.round or int(group.runs[seed].rows[-1]["round"]) for seed in measured}
    earlier = {seed: number for seed, (number, _) in measured.items() if number < last[seed]}
    mean, std = mean_and_std(finite.to_numpy())
    is_absent = not any(column.metric in row for run in group.runs.values() for row in run.rows)
    return Cell(finite, not_finite, not_measured, earlier, mean, std, is_absent)


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """The mean and the sample's standard deviation (ddof 1), NaN where there are too few values.

    Equal values have the deviation 0. By the formula it can be about 1e-16, because their mean is rounded.

    >>> mean_and_std(np.array([6.004, 6.004, 6.004]))
    (6.004, 0.0)
    >>> mean_and_std(np.array([1.0, 2.0, 3.0])), mean_and_std(np.array([0.5]))
    ((2.0, 1.0), (0.5, nan))
    """
    if not len(values):
        return math.nan, math.nan
    if len(values) > 1 and np.ptp(values) <= EQUAL * abs(values).max():
        return float(values[0]), 0.0
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan
