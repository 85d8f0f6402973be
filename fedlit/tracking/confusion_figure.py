"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedlit.tracking.canvas import INK, label_classes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(counts: np.ndarray, label_names: Sequence[str] | None) -> Figure:
    """Counts (classes, classes) as shares of each true class (rows); numbers are written up to 12 classes."""
    from matplotlib.ticker import PercentFormatter

    classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = float(np.clip(0.42 * classes + 2, 4.6, 8))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if classes <= 12:
        for true, predicted in np.ndindex(counts.shape):
            if counts[true, predicted]:
                ink = "white" if shares[true, predicted] > 0.55 else INK
                count = f"{counts[true, predicted]:.0f}"
                axes.text(predicted, true, count, ha="center", va="center", color=ink, fontsize=8)
    label_classes(axes.xaxis, classes, label_names, slanted=True)
    label_classes(axes.yaxis, classes, label_names)
    axes.set(xlabel="predicted class", ylabel="true class", title="confusion (share of the true class)")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1)).outline.set_visible(False)
    return figure
