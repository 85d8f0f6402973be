"""The metrics of a run over its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlit.metric_names import ENDS, TRAIN_LOSS, Row, base_metric, client_metric, global_metric
from fedlit.tracking.canvas import BLUE, INK, ORANGE, Axes, Figure, new_figure, tidy

_GLOBAL = {"test": BLUE, "validation": "#7a9fd4"}
_MODELS = {"received": ORANGE, "trained": "#2e8b57", "personal": "#8e44ad", "global": "#7f6a55"}


def curves_figure(rows: Sequence[Row], title: str = "") -> Figure | None:
    """A panel a metric: of the global model, over clients (mean, standard deviation, worst), and the training loss.

    Accuracy comes first, then loss, then others; six panels at most, with one legend beside them. None if fewer than
    two rounds were evaluated: a point is no curve.
    """
    names = {name for row in rows for name in row}
    metrics = {metric for name in names if (metric := base_metric(name))}
    ordered = sorted(metrics, key=lambda name: (name != "accuracy", name != "loss", name))[:6]
    if not ordered or sum(any(map(base_metric, row)) for row in rows) < 2:
        return None
    columns = min(len(ordered), 2)
    lines = -(-len(ordered) // columns)
    figure = new_figure(3 + 5.2 * columns, 0.6 + 3.8 * lines)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, metric in zip(axes, ordered, strict=False):
        _draw_metric(panel, rows, names, metric)
    for panel in axes[len(ordered) :]:
        panel.set_axis_off()
    handles = {label: line for panel in axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside right upper", fontsize=9, frameon=False)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def _draw_metric(axes: Axes, rows: Sequence[Row], names: set[str], metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for part, color in _GLOBAL.items():
        _draw_line(axes, rows, global_metric(part, metric), f"global, {part}", color, linewidth=2)
    for model, color in _MODELS.items():
        mean_name = client_metric(model, metric, "mean")
        if mean_name not in names:
            continue
        if model == "received" and client_metric("global", metric, "mean") in names:
            continue  # the received model is the global model of the round before: nearly the same curves
        rounds, mean = _series(rows, mean_name)
        _draw_line(axes, rows, mean_name, f"clients, {model}: mean ± std", color, linewidth=1.5)
        with_std, std = _series(rows, client_metric(model, metric, "std"))
        if np.array_equal(rounds, with_std):
            low, high = mean - std, mean + std
            if metric.endswith("accuracy"):  # which is a share: the band may not
                low, high = np.clip(low, 0, None), np.clip(high, None, 1)
            axes.fill_between(rounds, low, high, color=color, alpha=0.15, linewidth=0)
        for end in ("worst", *ENDS):
            name = client_metric(model, metric, end)
            _draw_line(axes, rows, name, f"clients, {model}: {end}", color, linewidth=1, linestyle=":")
    if metric == "loss":
        _draw_line(axes, rows, TRAIN_LOSS, "training", INK, linewidth=1, linestyle="--")
    axes.set(xlabel="round", ylabel=metric)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    tidy(axes, grid="both")


def _draw_line(axes: Axes, rows: Sequence[Row], name: str, label: str, color: str, **style: Any) -> None:
    rounds, values = _series(rows, name)
    if len(rounds):
        marker = "o" if len(rounds) <= 30 else None
        axes.plot(rounds, values, label=label, color=color, marker=marker, markersize=3, **style)


def _series(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rounds (n,) and values (n,) of the rows that have the name. NaN is kept and is a gap in the line."""
    measured = [row for row in rows if name in row]
    return np.array([row["round"] for row in measured]), np.array([row[name] for row in measured], dtype=float)
