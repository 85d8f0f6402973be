"""The means of a metric where two keys were swept, as a map."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from fedlit.report.columns import Column
from fedlit.report.digits import column_texts
from fedlit.report.figures import WIDTH, new_figure, wrapped_name
from fedlit.report.grid import Grid
from fedlit.report.results import Results


def heat_map(grid: Grid, column: Column, cells: Results) -> Figure | None:
    """A map with the mean in each cell, "no run" where there is none; None unless two keys have two values or more."""
    if len(grid.keys) != 2:
        return None
    values = [grid.shown_values(group) for group in grid.groups]
    across, down = (list(dict.fromkeys(of_row[place] for of_row in values)) for place in (1, 0))
    if len(across) < 2 or len(down) < 2:
        return None
    means = np.full((len(down), len(across)), math.nan)
    texts: dict[tuple[int, int], str] = {}
    of_rows = [cells[row_index, column.metric] for row_index in range(len(grid.groups))]
    shown = column_texts([(cell.mean, cell.std) for cell in of_rows])
    for cell, (mean, spread), (first, second) in zip(of_rows, shown, values, strict=True):
        place = down.index(first), across.index(second)
        means[place] = cell.mean
        texts[place] = f"{mean}\n± {spread}" if spread else mean
    if np.isnan(means).all():
        return None
    figure = new_figure(min(WIDTH, 1.6 + 0.75 * len(across)), 0.9 + 0.42 * len(down))
    axes = figure.subplots()
    axes.set_facecolor("0.9")
    axes.grid(False)
    image = axes.imshow(means, aspect="auto", cmap="viridis" if column.sign >= 0 else "viridis_r")
    low, high = np.nanmin(means), np.nanmax(means)
    for y, x in np.ndindex(*means.shape):
        share = (means[y, x] - low) / (high - low) if high > low else 0.0
        is_dark = (share if column.sign >= 0 else 1 - share) < 0.6
        text = texts.get((y, x), "no run")
        color = "black" if math.isnan(means[y, x]) or not is_dark else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, color=color)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.set_xlabel(grid.keys[1])
    axes.set_ylabel(grid.keys[0])
    figure.colorbar(image, ax=axes, label=wrapped_name(column.metric))
    return figure
