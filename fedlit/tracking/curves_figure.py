"""The course of a run: each metric over the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlit.tracking.canvas import BLUE, INK, ORANGE, new_figure, tidy
from fedlit.tracking.logger import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GLOBAL = {"test": BLUE, "validation": "#7a9fd4"}
_MODELS = {"received": ORANGE, "trained": "#2e8b57", "personal": "#8e44ad", "global": "#7f6a55"}


def curves_figure(rows: Sequence[Row], title: str = "") -> Figure | None:
    """The course of each metric over the rounds: global, over clients (mean, spread, worst), and the training loss.

    None where fewer than two rounds were evaluated: a point is no curve. Accuracy comes first, then loss, then others;
    six panels at most.
    """
    names = {name for row in rows for name in row}
    metrics = {_metric(name) for name in names if name.startswith(("global/", "clients/"))}
    ordered = sorted(filter(None, metrics), key=lambda name: (name != "accuracy", name != "loss", name))[:6]
    if not ordered or sum(any(map(_metric, row)) for row in rows) < 2:
        return None
    columns = min(len(ordered), 2)
    lines = -(-len(ordered) // columns)
    figure = new_figure(1 + 5.2 * columns, 0.6 + 3.8 * lines)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, metric in zip(axes, ordered, strict=False):
        _draw_metric(panel, rows, names, metric)
    for panel in axes[len(ordered) :]:
        panel.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def _draw_metric(axes: Axes, rows: Sequence[Row], names: set[str], metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for part, color in _GLOBAL.items():
        _draw_line(axes, rows, f"global/{part}/{metric}", f"global, {part}", color, linewidth=2)
    for model, color in _MODELS.items():
        base = f"clients/{model}/{metric}"
        if f"{base}/mean" not in names:
            continue
        if model == "received" and f"clients/global/{metric}/mean" in names:
            continue  # nearly the global model of the round before: the same curves again
        rounds, mean = _series(rows, f"{base}/mean")
        _draw_line(axes, rows, f"{base}/mean", f"clients, {model}: mean ± std", color, linewidth=1.5)
        with_std, std = _series(rows, f"{base}/std")
        if np.array_equal(rounds, with_std):
            axes.fill_between(rounds, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)
        _draw_line(axes, rows, f"{base}/worst", f"clients, {model}: worst", color, linewidth=1, linestyle=":")
    if metric == "loss":
        _draw_line(axes, rows, "train/loss", "training", INK, linewidth=1, linestyle="--")
    axes.set(xlabel="round", ylabel=metric)
    if metric == "accuracy":
        low = axes.get_ylim()[0]
        axes.set_ylim(max(0, low), 1)  # a standard deviation may reach above 1, an accuracy does not
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(fontsize=8, frameon=False)
    tidy(axes, grid="both")


def _draw_line(axes: Axes, rows: Sequence[Row], name: str, label: str, color: str, **style: Any) -> None:
    rounds, values = _series(rows, name)
    if len(rounds):
        marker = "o" if len(rounds) <= 30 else None
        axes.plot(rounds, values, label=label, color=color, marker=marker, markersize=3, **style)


def _series(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rounds and values (both (n,)) of the rows that have the name; a gap, NaN, stays a gap."""
    found = [(row["round"], row[name]) for row in rows if name in row]
    return np.array([r for r, _ in found]), np.array([value for _, value in found], dtype=float)


def _metric(name: str) -> str | None:
    """The metric in "global/test/accuracy" or "clients/received/accuracy/mean"; None in other names."""
    first, _, rest = name.partition("/")
    metric = rest.partition("/")[2]
    if first == "clients":
        return metric.removesuffix("/mean") if metric.endswith("/mean") else None
    return metric or None
