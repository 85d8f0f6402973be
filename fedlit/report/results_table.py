"""The table of results, which table.md, the page and the end of a sweep show."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.report.columns import Column
from fedlit.report.grid import Grid
from fedlit.report.results import Cell, Results
from fedlit.report.shown_table import ShownTable, plain_row, with_spread


def cell_text(cell: Cell) -> str:
    """`0.912 ± 0.012 (3)`: mean, standard deviation, number of seeds; a dagger where a seed was left out."""
    dagger = "†" * bool(cell.left_out)
    return f"{with_spread(cell.mean, cell.std)} ({len(cell.values)}){dagger}" if len(cell.values) else f"-{dagger}"


def results_table(grid: Grid, columns: Sequence[Column], cells: Results) -> ShownTable:
    """Rows of swept values, columns of metrics; the best of each problem in bold."""
    keys = grid.keys or ["runs"]
    rows = [
        [
            *plain_row(group.values or [grid.name(group)]),
            *((cell_text(cell), cell.best) for column in columns for cell in [cells[row_index, column.metric]]),
        ]
        for row_index, group in enumerate(grid.groups)
    ]
    return ShownTable([*keys, *(column.title for column in columns)], rows, len(keys))
