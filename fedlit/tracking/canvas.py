"""The paper that every figure of a run is drawn on.

matplotlib is imported where a figure is drawn, and without pyplot: no window, no state shared with the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fedlit.atomic_files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#333333"
BLUE = "#1f4e9c"
ORANGE = "#d9730d"


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of that size, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as a PNG file, all or nothing."""
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=120)


def pixels(figure: Figure) -> np.ndarray:
    """The figure as (height, width, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def label_classes(axis: Axis, classes: int, names: Sequence[str] | None, slanted: bool = False) -> None:
    """Classes as ticks, 20 at most, by name where there are names."""
    step = max(1, -(-classes // 20))
    ticks = range(0, classes, step)
    labels = [names[label] if names else str(label) for label in ticks]
    axis.set_ticks(ticks, labels)
    if slanted and max(map(len, labels), default=0) > 3:
        axis.set_tick_params(rotation=45)
        for label in axis.get_ticklabels():
            label.set(ha="right", rotation_mode="anchor")


def tidy(axes: Axes, grid: Literal["x", "y", "both"]) -> None:
    """Light grid lines behind the data, and no box."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
