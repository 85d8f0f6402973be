"""table.md, table.csv and table.tex."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from fedlit.report.columns import Column
from fedlit.report.comparisons import Comparison
from fedlit.report.grid import Grid
from fedlit.report.results import Cell, Results


def number(value: float, spread: float = math.nan) -> str:
    """A number with the digits that its spread calls for: two digits of the spread; four digits without one.

    >>> number(0.91234, 0.0123), number(0.5), number(1234567.0)
    ('0.912', '0.5', '1234567')
    """
    if not math.isfinite(value):
        return "–"
    if math.isfinite(spread) and spread > 0:
        return f"{value:.{max(0, min(8, 1 - math.floor(math.log10(spread))))}f}"
    return f"{value:.0f}" if abs(value) >= 10000 else f"{value:.4g}"


def cell_text(cell: Cell) -> str:
    """`0.912 ± 0.012 (3)`: mean, standard deviation, number of seeds; a dagger where a seed was left out."""
    if not len(cell.values):
        return "–" + "†" * bool(cell.not_finite)
    spread = f" ± {number(cell.std, cell.std)}" if math.isfinite(cell.std) else ""
    return f"{number(cell.mean, cell.std)}{spread} ({len(cell.values)}){'†' * bool(cell.not_finite)}"


def markdown(grid: Grid, columns: Sequence[Column], cells: Results) -> str:
    """The table, with the best of each problem in bold."""
    header = [*(grid.keys or ["runs"]), *(column.title for column in columns)]
    lines = [_line(header), _line(["---"] * len(header))]
    for row_index, group in enumerate(grid.groups):
        texts = []
        for column in columns:
            cell = cells[row_index, column.metric]
            texts.append(f"**{cell_text(cell)}**" if cell.best else cell_text(cell))
        lines.append(_line([*(group.values or [grid.name(group)]), *texts]))
    return "\n".join(lines) + "\n"


def comparisons_markdown(grid: Grid, comparisons: Sequence[Comparison]) -> str:
    """The paired tests of one metric."""
    lines = [_line(["row", "against", "seeds", "difference", "p", "p (Holm)"]), _line(["---"] * 6)]
    for test in comparisons:
        difference = f"{test.difference:+.4g}"
        if math.isfinite(test.std):
            difference += f" ± {number(test.std, test.std)}"
        names = [grid.name(grid.groups[row]) for row in (test.row, test.against)]
        lines.append(_line([*names, str(test.seeds), difference, _p(test.p), _p(test.p_holm)]))
    return "\n".join(lines) + "\n"


def frame(grid: Grid, columns: Sequence[Column], cells: Results, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each row of the table and each metric, in full precision: the content of table.csv."""
    by_place = {(test.row, test.metric): test for test in comparisons}
    records = []
    for row_index, group in enumerate(grid.groups):
        for column in columns:
            cell, test = cells[row_index, column.metric], by_place.get((row_index, column.metric))
            records.append(
                {
                    **dict(zip(grid.keys, group.values, strict=True)),
                    "metric": column.metric,
                    "better": column.better,
                    "mean": cell.mean,
                    "std": cell.std,
                    "seeds": len(cell.values),
                    "seeds_not_finite": len(cell.not_finite),
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
    names += [_escaped(column.metric) + arrows[column.better] for column in columns]
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{'l' * max(1, len(grid.keys))}{'r' * len(columns)}}}",
        r"\toprule",
        rf"{' & '.join(names)} \\",
        r"\midrule",
    ]
    for row_index, group in enumerate(grid.groups):
        texts = [_escaped(value) for value in group.values or (grid.name(group),)]
        texts += [_latex_cell(cells[row_index, column.metric]) for column in columns]
        lines.append(rf"{' & '.join(texts)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cell(cell: Cell) -> str:
    if not len(cell.values):
        return "--" + r"$^\dagger$" * bool(cell.not_finite)
    spread = rf" \pm {number(cell.std, cell.std)}" if math.isfinite(cell.std) else ""
    body = f"{number(cell.mean, cell.std)}{spread}"
    dagger = r"^\dagger" * bool(cell.not_finite)
    text = rf"$\mathbf{{{body}}}$" if cell.best else f"${body}{dagger}$"
    return f"{text} ({len(cell.values)})"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _line(texts: Sequence[str]) -> str:
    escaped = (text.replace("|", "\\|") for text in texts)
    return f"| {' | '.join(escaped)} |"


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
