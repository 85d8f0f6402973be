"""A metric by round, bytes and seconds: the mean over seeds, with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from fedlit.metric_names import base_metric
from fedlit.report.columns import Column
from fedlit.report.costs import BYTES, SECONDS, with_costs
from fedlit.report.figures import WIDTH, legend_below, new_figure, wrapped_name
from fedlit.report.grid import Grid, Group
from fedlit.report.row_styles import MOST_PANELS, fixed_keys, panels_of_rows, row_styles

_X = {"round": "round", BYTES: "bytes sent, down and up", SECONDS: "seconds"}


def curve(group: Group, metric: str) -> pd.DataFrame | None:
    """The mean and std of a metric by round, with the mean round, bytes and seconds.

    Only rounds that all seeds have: a mean over fewer seeds from some round on would jump. A round in which a seed's
    value is NaN has the mean NaN, a gap. None if there is no such round.
    """
    runs = list(group.runs.values())
    rounds_of_runs = [{int(row["round"]) for row in run.rows if metric in row} for run in runs]
    rounds = sorted(set.intersection(*rounds_of_runs)) if runs else []
    if not rounds:
        return None
    measured = [with_costs(run) for run in runs]
    values = pd.concat([frame.loc[rounds, metric] for frame in measured], axis=1)
    columns = {"round": pd.Series(rounds, index=rounds, dtype=float)}
    columns |= {"mean": values.mean(axis=1, skipna=False), "std": values.std(axis=1, ddof=1, skipna=False)}
    for cost in (BYTES, SECONDS):
        if all(cost in frame for frame in measured):
            columns[cost] = pd.concat([frame.loc[rounds, cost] for frame in measured], axis=1).mean(axis=1)
    return pd.DataFrame(columns)


def curves_figure(grid: Grid, columns: Sequence[Column]) -> Figure | None:
    """Panels side by side for round, bytes and seconds; a row of them for each problem and for two metrics; None
    without a curve."""
    metrics = _two_metrics(columns)
    rows_by_problem = panels_of_rows(grid)
    if len(rows_by_problem) * len(metrics) > MOST_PANELS:
        metrics = metrics[:1]
    lines = {(r, m.metric): curve(grid.groups[r], m.metric) for rows in rows_by_problem for r in rows for m in metrics}
    known = [line for line in lines.values() if line is not None]
    if not known:
        return None
    axes_names = [x for x in _X if any(x in line for line in known)]
    panels = [(rows, column) for rows in rows_by_problem for column in metrics]
    figure = new_figure(WIDTH, 1.75 * len(panels) + 0.45)
    grid_of_axes = figure.subplots(len(panels), len(axes_names), squeeze=False, sharey="row")
    fixed, styles = fixed_keys(grid), row_styles(grid)
    drawn: dict[str, dict[str, Any]] = {}
    for panel_axes, (rows, column) in zip(grid_of_axes, panels, strict=True):
        for axes, x in zip(panel_axes, axes_names, strict=True):
            for row in rows:
                line = lines[row, column.metric]
                if line is not None and x in line:
                    label, style = styles[row]
                    _draw(axes, line, x, label, drawn.setdefault(label, style))
            _label_axis(axes, x)
        panel_axes[0].set_ylabel(wrapped_name(column.metric))
        if fixed:
            values = dict(zip(grid.keys, grid.shown_values(grid.groups[rows[0]]), strict=True))
            panel_axes[0].set_title(", ".join(f"{key}={values[key]}" for key in fixed), loc="left")
    legend_below(figure, drawn)
    return figure


def ragged_notes(grid: Grid, metric: str) -> list[str]:
    """A sentence for each row whose seeds have not the same last round, because its curve ends at the first of them."""
    notes = []
    for group in grid.groups:
        ends = sorted({int(run.rows[-1]["round"]) for run in group.runs.values()})
        if len(ends) > 1:
            notes.append(
                f"{grid.name(group)}: seeds end between round {ends[0]} and round {ends[-1]}; the curve of {metric} "
                f"ends at round {ends[0]}."
            )
    return notes


def _two_metrics(columns: Sequence[Column]) -> list[Column]:
    """The first column, and the first one of another metric."""
    others = [column for column in columns if base_metric(column.metric) != base_metric(columns[0].metric)]
    return [columns[0], *others[:1]]


def _draw(axes: Any, line: pd.DataFrame, x: str, label: str, style: dict[str, Any]) -> None:
    marker = "o" if len(line) == 1 else None
    axes.plot(line[x], line["mean"], label=label, marker=marker, markersize=3, **style)
    if line["std"].notna().any():
        low, high = line["mean"] - line["std"], line["mean"] + line["std"]
        axes.fill_between(line[x], low, high, color=style["color"], alpha=0.18, linewidth=0)


def _label_axis(axes: Any, x: str) -> None:
    axes.set_xlabel(_X[x])
    axes.margins(x=0.01)
    if x == BYTES:
        axes.xaxis.set_major_formatter(EngFormatter("B"))
        axes.xaxis.set_major_locator(MaxNLocator(4))
    elif x == "round":
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
