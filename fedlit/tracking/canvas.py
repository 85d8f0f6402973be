"""What all figures of a run share.

matplotlib is imported where a figure is drawn, and without pyplot: no window, no state shared with the user's own.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from fedlit.errors import one_line

log = logging.getLogger(__name__)
Figure = Any  # matplotlib.figure.Figure, and so on: the module is imported where a figure is drawn
Axes = Any
Axis = Any
INK = "#333333"
BLUE = "#1f4e9c"
ORANGE = "#d9730d"


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of that size, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file. Drawn once; `Figure.savefig` draws twice to lay the figure out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    content = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(content, "png")
    return content.getvalue()


class Background:
    """Draws in a thread of its own, one figure after the other, so that no round waits for a figure."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def draw(self, name: str, draw: Callable[[], None]) -> None:
        """Call `draw` in the thread, after the figure before it is done."""
        self.wait()

        def run() -> None:
            with drawing(name):
                draw()

        self._thread = threading.Thread(target=run, name=f"fedlit draws {name}", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the figure is done."""
        if self._thread is not None:
            self._thread.join()


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """An error while a figure is drawn becomes a warning: it must not end the run."""
    try:
        yield
    except Exception as error:
        log.warning("%s could not be drawn: %s", name, one_line(error))


def write_counts(axes: Axes, counts: np.ndarray, white: np.ndarray, size: float) -> None:
    """Write the counts (rows, columns), except zeros, into the cells of a heatmap, in white where `white` is true.

    One artist draws them all, because a `Text` for each cell takes as long as the rest of the figure.
    """
    from matplotlib.artist import Artist
    from matplotlib.font_manager import FontProperties

    class Counts(Artist):
        def draw(self, renderer: Any) -> None:
            font, context = FontProperties(size=size), renderer.new_gc()
            for row, column in np.argwhere(counts):
                text = f"{counts[row, column]:.0f}"
                width, height, _ = renderer.get_text_width_height_descent(text, font, False)
                x, y = axes.transData.transform((column, row))
                context.set_foreground("white" if white[row, column] else INK)
                renderer.draw_text(context, x - width / 2, renderer.height - y + height / 2, text, font, 0)
            context.restore()

    artist = Counts()
    artist.set(in_layout=False, zorder=3)  # above the cells
    axes.add_artist(artist)


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
