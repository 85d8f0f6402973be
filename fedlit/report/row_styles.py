"""The label and the line of each row: a method has the same colour in all figures, on all data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedlit.report.figures import line_style
from fedlit.report.grid import Grid
from fedlit.report.results import problems

MOST_PANELS = 6  # under each other


def panels_of_rows(grid: Grid) -> list[list[int]]:
    """The rows of each problem, which are drawn together; all rows together if there are too many problems."""
    rows_by_problem = problems(grid)
    return rows_by_problem if len(rows_by_problem) <= MOST_PANELS else [list(range(len(grid.groups)))]


def fixed_keys(grid: Grid) -> list[str]:
    """The keys whose value is the same in all rows of each panel; none for a single panel."""
    rows_by_problem = panels_of_rows(grid)
    if len(rows_by_problem) < 2 or all(len(rows) == 1 for rows in rows_by_problem):
        return grid.keys if len(rows_by_problem) > 1 else []
    return [
        key
        for place, key in enumerate(grid.keys)
        if all(len({grid.groups[row].values[place] for row in rows}) == 1 for rows in rows_by_problem)
    ]


def row_styles(grid: Grid) -> list[tuple[str, dict[str, Any]]]:
    """(label, style) of each row. Rows that differ in fixed keys alone have the same label and style."""
    fixed = fixed_keys(grid)
    labels = {row: _label(grid, row, fixed) for rows in panels_of_rows(grid) for row in rows}
    number = {label: place for place, label in enumerate(dict.fromkeys(labels.values()))}
    return [(labels[row], line_style(number[labels[row]])) for row in range(len(grid.groups))]


def _label(grid: Grid, row: int, fixed: Sequence[str]) -> str:
    pairs = [(k, v) for k, v in zip(grid.keys, grid.shown_values(grid.groups[row]), strict=True) if k not in fixed]
    if len(pairs) == 1:
        return pairs[0][1]
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in pairs) or grid.name(grid.groups[row])
