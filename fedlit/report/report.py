"""The numbers of a report."""

from __future__ import annotations

from dataclasses import dataclass

from fedlit.report.baseline import baseline_values
from fedlit.report.client_curves import client_notes
from fedlit.report.columns import Column, columns
from fedlit.report.comparisons import Comparison, comparisons
from fedlit.report.curves import ragged_notes
from fedlit.report.grid import Grid, read_grid
from fedlit.report.options import Options
from fedlit.report.results import Results, results
from fedlit.report.targets import Reached, percent_notes, reached, targets_of_runs


@dataclass(frozen=True)
class Report:
    """All numbers of a report.

    Attributes:
        baseline: swept key -> value of the row that others are compared with; empty: the best row.
        tests: of all columns; those of the first column are shown.
        targets: of the first column.
        notes: sentences on what is missing, was left out, or cannot be concluded.
    """

    options: Options
    grid: Grid
    columns: list[Column]
    cells: Results
    baseline: dict[str, str]
    tests: list[Comparison]
    targets: list[Reached]
    notes: list[str]

    @property
    def shown_tests(self) -> list[Comparison]:
        """The tests of the first column."""
        return [test for test in self.tests if test.metric == self.columns[0].metric]


def make_report(options: Options) -> Report:
    """Read the runs and compute the numbers.

    Raises:
        InputError: a folder, a metric or the baseline is of nothing in the runs.
    """
    grid = read_grid(options.folders, options.round)
    used = [run for group in grid.groups for run in group.runs.values()]
    shown = columns(used, options.metrics)
    baseline = baseline_values(grid, options.baseline)
    notes = list(grid.notes)
    cells = results(grid, shown, notes)
    tests: list[Comparison] = []
    for column in shown:
        doubts: list[str] = []
        tests += comparisons(grid, column, cells, baseline, options.test, doubts)
        notes += doubts if column is shown[0] else []
    notes += ragged_notes(grid, shown[0].metric) + client_notes(grid, shown[0].metric)
    notes += percent_notes(used, shown[0], options.targets or targets_of_runs(grid, shown[0]))
    targets = reached(grid, shown[0], cells, options.targets)
    return Report(options, grid, shown, cells, baseline, tests, targets, notes)
