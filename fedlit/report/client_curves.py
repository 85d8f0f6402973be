"""A metric of each client by round, from `clients.jsonl` of runs with `evaluation.per_client=true`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlit.metric_names import GLOBAL, USED, base_metric, client_model
from fedlit.plurals import counted
from fedlit.report.figures import WIDTH, legend_below, new_figure
from fedlit.report.grid import Grid, Group
from fedlit.report.row_styles import row_styles

MOST_CLIENTS = 100  # lines of a panel
_MOST_PANELS = 12
_MEAN = {"linewidth": 1.2}


def client_values(group: Group, metric: str) -> tuple[int, pd.DataFrame] | None:
    """The first seed of a row whose run has the metric of each client: a line for each round, a column for each client.

    One seed: client 3 of another one has other data. None if no run has values.

    Args:
        group: the row.
        metric: such as `clients/used/accuracy/weighted` or `global/test/accuracy`.
    """
    model = client_model(metric) or GLOBAL
    for seed, run in sorted(group.runs.items()):
        for name in (f"{model}/{base_metric(metric)}", f"{USED}/{base_metric(metric)}"):
            if run.clients is not None and name in run.clients:
                values = run.clients[name].dropna().unstack("client")
                if values.size:
                    return seed, values
    return None


def client_curves_figure(grid: Grid, metric: str) -> Figure | None:
    """A panel for each row of the table with a thin line for each client, and a thick one for their mean; None if no
    run has values of each client."""
    panels = [(row, seen) for row, group in enumerate(grid.groups) if (seen := client_values(group, metric))]
    panels = panels[:_MOST_PANELS]
    if not panels:
        return None
    across = len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3
    down = math.ceil(len(panels) / across)
    figure = new_figure(WIDTH if across > 1 else WIDTH / 2, 1.6 * down + 0.4)
    axes_of_panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    styles = row_styles(grid)
    for axes, (row, (seed, values)) in zip(axes_of_panels, panels, strict=False):
        _draw(axes, values, styles[row][1]["color"])
        axes.set_title(_broken(f"{grid.name(grid.groups[row])}, seed={seed}", 120 // across), fontsize=7)
    for axes in axes_of_panels[len(panels) :]:
        axes.set_axis_off()
    for place, axes in enumerate(axes_of_panels[: len(panels)]):
        if place + across >= len(panels):  # the lowest of its column
            axes.xaxis.set_tick_params(labelbottom=True)
            axes.set_xlabel("round")
    for axes in axes_of_panels[::across]:
        axes.set_ylabel(base_metric(metric) or metric)
    legend_below(figure, {"a client": {"color": "0.4", "linewidth": 0.6}, "mean client": {"color": "black", **_MEAN}})
    return figure


def client_notes(grid: Grid, metric: str) -> list[str]:
    """A sentence where not all clients or not all rows are drawn."""
    known = [values for group in grid.groups if (values := client_values(group, metric)) is not None]
    notes = []
    most = max((values.shape[1] for _, values in known), default=0)
    if most > MOST_CLIENTS:
        notes.append(f"Curves of clients: {MOST_CLIENTS} of {counted(most, 'client')} are drawn, at equal distances.")
    if len(known) > _MOST_PANELS:
        notes.append(f"Curves of clients: the first {_MOST_PANELS} of {counted(len(known), 'row')} are drawn.")
    return notes


def drawn_clients(clients: Sequence[Any]) -> list[Any]:
    """Those of which lines are drawn: all, or else as many as a panel takes, at equal distances.

    >>> len(drawn_clients(range(1000))), drawn_clients(range(1000))[:3]
    (100, [0, 10, 20])
    """
    step = max(1.0, len(clients) / MOST_CLIENTS)
    return [clients[int(place * step)] for place in range(min(len(clients), MOST_CLIENTS))]


def _draw(axes: Any, values: pd.DataFrame, color: str) -> None:
    marker = "o" if len(values) == 1 else None
    for client in drawn_clients(list(values.columns)):
        of_client = values[client].dropna()  # a client need not be measured in each round
        axes.plot(of_client.index, of_client, color=color, linewidth=0.6, alpha=0.6, marker=marker, markersize=2)
    axes.plot(values.index, values.mean(axis=1), color="black", **_MEAN, marker=marker, markersize=3)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(x=0.01)


def _broken(name: str, width: int) -> str:
    """A row's name on as few lines as a panel's width takes."""
    lines = [""]
    for part in name.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines[:-1], f"{lines[-1]},", part]
    return "\n".join(lines)
