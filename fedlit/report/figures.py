"""What the figures of a report share: the style, lines that stay distinguishable, and files in two formats."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedlit.atomic_files import write_bytes

WIDTH = 6.9  # inches, both columns of a paper's page
DASHES = ("-", "--", ":", "-.")
COLORS = 7  # in the style file
_STYLE = Path(__file__).with_name("paper.mplstyle")


@contextmanager
def paper_style() -> Iterator[None]:
    """Within it, matplotlib draws in the style of the report."""
    with matplotlib.style.context(["default", str(_STYLE)]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure without a window, inches wide and high."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th line."""
    return {"color": f"C{index % COLORS}", "linestyle": DASHES[index // COLORS % len(DASHES)]}


def wrapped_name(metric: str) -> str:
    """A long name on two lines: `clients/used/` and `accuracy/weighted`."""
    parts = metric.split("/")
    if len(metric) <= 20 or len(parts) < 2:
        return metric
    middle = len(parts) // 2
    return f"{'/'.join(parts[:middle])}/\n{'/'.join(parts[middle:])}"


def legend_below(figure: Figure, styles: Mapping[str, dict[str, Any]]) -> None:
    """One legend for all panels, under them: label -> style of its line."""
    if len(styles) > 1:
        handles = [Line2D([], [], label=label, **style) for label, style in styles.items()]
        across = max(1, min(len(styles), 110 // (max(map(len, styles)) + 8)))
        figure.legend(handles=handles, loc="outside lower center", ncols=across)


def fit_layout(figure: Figure) -> Figure:
    """Lay the figure out and keep the result, which each file would otherwise compute twice."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("pdf", "png")) -> None:
    """Write `name.pdf` and `name.png`, each atomically, without the date of writing."""
    for suffix in formats:
        write_bytes(folder / f"{name}.{suffix}", picture(figure, suffix))


def picture(figure: Figure, suffix: str) -> bytes:
    """The content of a picture file."""
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, metadata=undated)
    return buffer.getvalue()
