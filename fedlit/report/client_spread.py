"""How a metric is distributed over clients at the end: mean, standard deviation, worst tenth and worst client."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedlit.metric_names import client_families, client_metric
from fedlit.report.figures import WIDTH, new_figure
from fedlit.report.grid import Grid
from fedlit.report.results import value_at
from fedlit.report.row_styles import row_styles

_MARKS = {"mean": ("o", "mean client"), "worst_decile": ("D", "worst tenth"), "worst": ("x", "worst client")}
_HOLLOW = {"D": {"markerfacecolor": "none", "markersize": 6}}  # the worst client may lie in it


def spread_figure(grid: Grid, metric: str) -> Figure | None:
    """A line for each row of the table: the statistics over clients, each the mean over seeds; the bar is one standard
    deviation over clients to both sides of the mean. None if the metric is not of clients, or no row has the
    statistics."""
    families = client_families([f"{metric.rpartition('/')[0]}/std"])
    if not families:
        return None
    model, base = families[0]
    statistics = [_statistics(grid, row, model, base) for row in range(len(grid.groups))]
    if not any(math.isfinite(of_row["mean"]) for of_row in statistics):
        return None
    figure = new_figure(WIDTH, 0.26 * len(grid.groups) + 0.95)
    axes = figure.subplots()
    for row, (of_row, (_, style)) in enumerate(zip(statistics, row_styles(grid), strict=True)):
        color = style["color"]
        axes.errorbar(of_row["mean"], row, xerr=of_row["std"], color=color, capsize=2, linewidth=1)
        for statistic, (marker, _) in _MARKS.items():
            axes.plot(of_row[statistic], row, marker, color=color, **_size(marker))
    axes.set_yticks(range(len(grid.groups)), [grid.name(group) for group in grid.groups])
    axes.set_ylim(len(grid.groups) - 0.5, -0.5)
    axes.set_xlabel(f"{model} models, {base} over clients")
    handles = [Line2D([], [], marker=m, color="0.3", linestyle="", label=n, **_size(m)) for m, n in _MARKS.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _size(marker: str) -> dict[str, Any]:
    return {"markersize": 4, **_HOLLOW.get(marker, {})}


def _statistics(grid: Grid, row: int, model: str, base: str) -> dict[str, float]:
    runs = grid.groups[row].runs.values()
    names = {statistic: client_metric(model, base, statistic) for statistic in (*_MARKS, "std")}
    return {statistic: _mean([value_at(run, name, grid.round) for run in runs]) for statistic, name in names.items()}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
