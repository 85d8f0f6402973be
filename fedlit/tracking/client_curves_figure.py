"""The metrics of each client over the rounds, from clients.jsonl (`evaluation.per_client=true`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedlit.plurals import counted
from fedlit.tracking.canvas import BLUE, INK, Axes, Figure, new_figure, tidy

_NAMED = 12  # clients whose number stands at the end of their line; of more, the highest and the lowest alone
_HEIGHT, _LINE = 190.0, 9.0  # of a panel and of a client's number, in points
Curves = dict[int, list[tuple[int, float]]]  # client -> (round, value)


def client_curves_figure(records: Sequence[Mapping[str, Any]], title: str = "") -> Figure | None:
    """A panel a metric of the model that each client uses, on its test data: a line a client, and their mean.

    Accuracy comes first, then loss, then others; four panels at most. None if fewer than two rounds were measured.
    """
    metrics: dict[str, Curves] = defaultdict(lambda: defaultdict(list))
    rounds = set()
    for record in records:
        for metric, value in (record.get("used") or {}).items():
            if not metric.startswith("validation_"):
                metrics[metric][record["client"]].append((record["round"], np.nan if value is None else value))
                rounds.add(record["round"])
    if len(rounds) < 2:
        return None
    ordered = sorted(metrics, key=lambda name: (name != "accuracy", name != "loss", name))[:4]
    columns = min(len(ordered), 2)
    lines = -(-len(ordered) // columns)
    figure = new_figure(1 + 5.2 * columns, 0.6 + 3.8 * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, metric in zip(panels, ordered, strict=False):
        _draw(axes, metric, metrics[metric])
    for axes in panels[len(ordered) :]:
        axes.set_axis_off()
    figure.suptitle(f"{title}: models that clients use, on their test data" if title else "models that clients use")
    return figure


def _draw(axes: Axes, metric: str, curves: Curves) -> None:
    from matplotlib.ticker import MaxNLocator

    by_round: dict[int, list[float]] = defaultdict(list)
    last = {}
    for client, points in curves.items():
        rounds, values = zip(*points, strict=True)
        axes.plot(rounds, values, color=BLUE, alpha=max(0.15, min(0.6, 6 / len(curves))), linewidth=0.9)
        last[client] = rounds[-1], values[-1]
        for number, value in points:
            by_round[number].append(value)
    means = {number: np.mean(values) for number, values in sorted(by_round.items())}
    axes.plot(
        list(means), list(means.values()), color=INK, linewidth=2, label=f"mean of {counted(len(curves), 'client')}"
    )
    _name_ends(axes, {client: end for client, end in last.items() if np.isfinite(end[1])})
    axes.set(xlabel="round", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(fontsize=8, frameon=False)
    tidy(axes, grid="both")


def _name_ends(axes: Axes, ends: Mapping[int, tuple[int, float]]) -> None:
    """The numbers of clients at the ends (round, value) of their lines, moved apart where they would overlap."""
    from sklearn.isotonic import isotonic_regression

    by_value = sorted(ends, key=lambda client: ends[client][1])
    named = by_value if len(by_value) <= _NAMED else [by_value[0], by_value[-1]]
    if not named:
        return
    low, high = axes.get_ylim()
    heights = np.array([(ends[client][1] - low) / (high - low) * _HEIGHT for client in named])
    ladder = np.arange(len(named)) * _LINE
    moved = isotonic_regression(heights - ladder) + ladder  # the least moves after which all are a line apart
    for client, move in zip(named, moved - heights, strict=True):
        axes.annotate(
            f"client {client}" if client in (by_value[0], by_value[-1]) else f"{client}",
            ends[client],
            xytext=(4, move),
            textcoords="offset points",
            fontsize=7,
            va="center",
        )
