"""table.csv, table.tex, and the table of comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from fedlit.report.columns import Column, different
from fedlit.report.comparisons import LEVEL, Comparison
from fedlit.report.digits import column_texts, joined
from fedlit.report.grid import Grid
from fedlit.report.results import Cell, Results
from fedlit.report.results_table import cell_columns
from fedlit.report.shown_table import ShownTable, plain_row


def comparisons_table(grid: Grid, comparisons: Sequence[Comparison]) -> ShownTable:
    """The paired tests of one metric; bold where the difference is significant after the correction."""
    rows = []
    differences = column_texts([(test.difference, test.std) for test in comparisons])
    for test, (difference, spread) in zip(comparisons, differences, strict=True):
        names = [grid.name(grid.groups[row]) for row in (test.row, test.against)]
        sign = "+" if test.difference > 0 else ""
        texts = plain_row([*names, str(test.seeds), sign + joined(difference, spread), _p(test.p)])
        rows.append([*texts, (_p(test.p_holm), test.p_holm <= LEVEL)])
    return ShownTable(["row", "against", "seeds", "difference", "p", "p (Holm)"], rows, 2)


def frame(grid: Grid, columns: Sequence[Column], cells: Results, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each row of the table and each metric, in full precision: the content of table.csv."""
    by_place = {(test.row, test.metric): test for test in comparisons}
    records = []
    for row_index, group in enumerate(grid.groups):
        for column in columns:
            cell, test = cells[row_index, column.metric], by_place.get((row_index, column.metric))
            records.append(
                {
                    **(dict(zip(grid.keys, group.values, strict=True)) or {"runs": grid.name(group)}),
                    "metric": column.metric,
                    "better": column.better,
                    "mean": cell.mean,
                    "std": cell.std,
                    "seeds": len(cell.values),
                    "seeds_not_finite": len(cell.not_finite),
                    "seeds_not_measured": len(cell.not_measured),
                    "seeds_left_out": len(group.left_out),
                    "best": cell.best,
                    "compared_with": "" if test is None else grid.name(grid.groups[test.against]),
                    "difference": math.nan if test is None else test.difference,
                    "p": math.nan if test is None else test.p,
                    "p_holm": math.nan if test is None else test.p_holm,
                }
            )
    return pd.DataFrame.from_records(records)


def latex(grid: Grid, columns: Sequence[Column], cells: Results) -> str:
    r"""A booktabs table; its document needs \usepackage{booktabs}."""
    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "neither": ""}
    names = [*(_escaped(key) for key in grid.keys or ["runs"])]
    names += [_escaped(column.metric) + arrows[column.better] for column in different(columns)]
    shown = cell_columns(grid, columns, cells)
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{'l' * max(1, len(grid.keys))}{'r' * len(shown)}}}",
        r"\toprule",
        rf"{' & '.join(names)} \\",
        r"\midrule",
    ]
    for row_index, group in enumerate(grid.groups):
        texts = [_escaped(value) for value in grid.shown_values(group) or (grid.name(group),)]
        texts += [_latex_cell(*of_rows[row_index]) for of_rows in shown]
        lines.append(rf"{' & '.join(texts)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cell(cell: Cell, mean: str, spread: str) -> str:
    dagger = r"^\dagger" * bool(cell.left_out)
    if not len(cell.values):
        return f"--${dagger}$" if dagger else "--"
    body = rf"{mean} \pm {spread}" if spread else mean
    text = rf"$\mathbf{{{body}}}$" if cell.best else f"${body}{dagger}$"
    return f"{text} ({len(cell.values)})"


_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",  # another sign in LaTeX's default encoding, as the next two are
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row it would be an argument of the end of the row before, as a star would be
    "*": "{*}",
}


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
