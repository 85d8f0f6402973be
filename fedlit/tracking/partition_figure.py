"""The training samples of each client, by class."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fedlit.plurals import counted
from fedlit.tracking.canvas import BLUE, ORANGE, Axes, Figure, label_classes, new_figure, png, tidy, write_counts
from fedlit.tracking.logger import DRAWN_CLIENTS, About

_drawn_once = threading.Lock()


def partition_png(about: About) -> bytes:
    """`partition_figure` as a PNG file: drawn once, for the run folder and for TensorBoard, in whichever thread."""
    with _drawn_once:
        return _png(about)


@lru_cache(maxsize=1)
def _png(about: About) -> bytes:
    return png(partition_figure(about))


def partition_figure(about: About) -> Figure:
    """Sizes beside the heatmap of clients and classes.

    Up to `DRAWN_CLIENTS` clients: a bar a client, divided by class where there are few classes. More clients: a
    histogram of the sizes, and the heatmap of the first ones. Without classes: sizes only.
    """
    columns = 1 if about.histogram is None else 2
    figure = new_figure(1 + 5.2 * columns, _height(about))
    axes = figure.subplots(1, columns, squeeze=False)[0]
    _draw_sizes(axes[0], about)
    if about.histogram is not None:
        _draw_heatmap(axes[1], about.histogram, about.label_names, len(about.sizes))
    figure.suptitle(
        f"{counted(int(about.sizes.sum()), 'training sample')} of {counted(len(about.sizes), 'client')}", fontsize=12
    )
    return figure


def _height(about: About) -> float:
    return float(np.clip(0.22 * min(len(about.sizes), DRAWN_CLIENTS) + 1.6, 3.6, 9))


def _draw_sizes(axes: Axes, about: About) -> None:
    if len(about.sizes) > DRAWN_CLIENTS:
        _draw_size_counts(axes, about.sizes)
    else:
        _draw_shards(axes, about.sizes, about.histogram, about.label_names)


def _draw_shards(axes: Axes, sizes: np.ndarray, histogram: np.ndarray | None, names: Sequence[str] | None) -> None:
    if histogram is None or histogram.shape[1] > 20:
        title = "samples a client"
        _draw_bars(axes, np.zeros(len(sizes)), sizes, BLUE)
    else:
        title = "samples a client, by class"
        ends = np.cumsum(histogram, axis=1)
        for label, color in enumerate(_colors(histogram.shape[1])):
            name = names[label] if names else str(label)
            _draw_bars(axes, ends[:, label] - histogram[:, label], ends[:, label], color, label=name)
        axes.figure.legend(loc="outside lower center", ncols=10, fontsize=8, frameon=False, handlelength=0.9)
    axes.set(xlabel="training samples", ylabel="client", title=title)
    axes.set_xlim(0, 1.05 * max(sizes.max(), 1))
    axes.set_ylim(len(sizes) - 0.5, -0.5)
    _label_clients(axes, len(sizes))
    tidy(axes, grid="x")


def _draw_bars(axes: Axes, starts: np.ndarray, ends: np.ndarray, color: Any, **style: Any) -> None:
    """A horizontal bar a client, all in one collection: `barh` makes an artist a bar."""
    from matplotlib.collections import PolyCollection

    low, high = np.arange(len(starts)) - 0.425, np.arange(len(starts)) + 0.425
    corners = [(starts, low), (ends, low), (ends, high), (starts, high)]
    polygons = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(polygons), facecolors=[color], **style), autolim=False)


def _draw_size_counts(axes: Axes, sizes: np.ndarray) -> None:
    from matplotlib.ticker import MaxNLocator

    wide = sizes.max() > 50 * max(np.median(sizes), 1)
    low, high = int(sizes.min()), int(sizes.max())
    if wide:
        edges = np.geomspace(max(low, 1), high + 1, 40).tolist()
        axes.set_xscale("log")
    else:
        edges = np.linspace(low - 0.5, high + 0.5, min(high - low + 2, 41)).tolist()
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))  # there is no half sample
    if low == high:
        axes.set_xticks([low])
    axes.hist(np.maximum(sizes, 1) if wide else sizes, bins=edges, color=BLUE, alpha=0.9)
    axes.axvline(np.median(sizes), color=ORANGE, linewidth=1.5)
    span = f"{low:,} to {high:,}" if low < high else f"{low:,}"
    middle = f" (line: median {np.median(sizes):,.0f})" if low < high else ""
    axes.set(
        xlabel="training samples",
        ylabel="clients",
        title=f"clients of {span} {'sample' if low == high == 1 else 'samples'}{middle}",
    )
    tidy(axes, grid="y")


def _draw_heatmap(axes: Axes, histogram: np.ndarray, names: Sequence[str] | None, clients: int) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    shown, classes = histogram.shape
    # by share: counts of unequal clients would leave all but the largest white, and sizes are drawn in the other panel
    shares = histogram / np.maximum(histogram.sum(axis=1, keepdims=True), 1)
    edges = (np.arange(n + 1) - 0.5 for n in (classes, shown))
    darkest = max(shares.max(), 2 / classes)  # even shares are half as dark
    image = axes.pcolormesh(*edges, shares, cmap="Blues", vmin=0, vmax=darkest)  # imshow makes 20 MB of pixels
    axes.set_ylim(shown - 0.5, -0.5)
    numbered = shown <= 30 and classes <= 12
    if numbered:
        write_counts(axes, histogram, shares > 0.6 * darkest, size=7)
    which = "clients and classes" if shown == clients else f"{shown} of {counted(clients, 'client')}, and classes"
    axes.set(xlabel="class", ylabel="client", title=which)
    label_classes(axes.xaxis, classes, names, slanted=True)
    _label_clients(axes, shown)
    axes.spines[:].set_visible(False)
    if numbered:
        return  # no need of a scale
    percents = PercentFormatter(1, 0 if darkest > 0.1 else 1)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, aspect=30, format=percents)
    bar.locator = MaxNLocator(10, steps=[1, 2, 5, 10])
    bar.set_label("share of the client's samples", fontsize=9)
    bar.outline.set_visible(False)


def _colors(classes: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab10" if classes <= 10 else "tab20"](label) for label in range(classes)]


def _label_clients(axes: Axes, shown: int) -> None:
    step = max(1, -(-shown // 20))
    axes.set_yticks(range(0, shown, step))
