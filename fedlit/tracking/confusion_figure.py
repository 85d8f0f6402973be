"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.tracking.canvas import Figure, label_classes, new_figure, write_counts


def confusion_figure(counts: np.ndarray, label_names: Sequence[str] | None) -> Figure:
    """Counts (classes, classes) as shares of each true class (rows), with the counts or, above 12 classes, a scale."""
    from matplotlib.ticker import PercentFormatter

    classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = float(np.clip(0.42 * classes + 2, 4.6, 8))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if classes <= 12:
        write_counts(axes, counts, shares > 0.55, size=8)
    else:
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1))
        bar.outline.set_visible(False)
    label_classes(axes.xaxis, classes, label_names, slanted=True)
    label_classes(axes.yaxis, classes, label_names)
    axes.set(xlabel="predicted class", ylabel="true class", title="confusion (share of the true class)")
    axes.spines[:].set_visible(False)
    return figure
