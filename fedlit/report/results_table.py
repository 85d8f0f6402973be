"""The table of results, which table.md, the page and the end of a sweep show."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.report.columns import Column, different
from fedlit.report.digits import column_texts, joined
from fedlit.report.grid import Grid
from fedlit.report.results import Cell, Results
from fedlit.report.shown_table import ShownTable, plain_row


def cell_text(cell: Cell, mean: str, spread: str) -> str:
    """`0.912 ± 0.012 (3)`: mean, standard deviation, number of seeds; a dagger where a seed was left out."""
    dagger = "†" * bool(cell.left_out)
    return f"{joined(mean, spread)} ({len(cell.values)}){dagger}" if len(cell.values) else f"-{dagger}"


def cell_columns(grid: Grid, columns: Sequence[Column], cells: Results) -> list[list[tuple[Cell, str, str]]]:
    """For each column that is shown, and each row: the cell, its mean and its standard deviation as texts."""
    shown = []
    for column in different(columns):
        of_rows = [cells[row_index, column.metric] for row_index in range(len(grid.groups))]
        texts = column_texts([(cell.mean, cell.std) for cell in of_rows])
        shown.append([(cell, mean, spread) for cell, (mean, spread) in zip(of_rows, texts, strict=True)])
    return shown


def results_table(grid: Grid, columns: Sequence[Column], cells: Results) -> ShownTable:
    """Rows of swept values, columns of metrics; the best of each problem in bold."""
    keys = grid.keys or ["runs"]
    shown = cell_columns(grid, columns, cells)
    rows = [
        [
            *plain_row(grid.shown_values(group) or [grid.name(group)]),
            *((cell_text(*of_rows[row_index]), of_rows[row_index][0].best) for of_rows in shown),
        ]
        for row_index, group in enumerate(grid.groups)
    ]
    return ShownTable([*keys, *(column.title for column in different(columns))], rows, len(keys))
