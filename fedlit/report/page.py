"""report.html: one page with all tables and pictures inside it, which opens without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from fedlit.report.grid import Grid
from fedlit.report.shown_table import ShownTable

_TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Section:
    """A part of the page: a title with a paragraph, a picture (the content of an SVG file) and a table."""

    title: str
    text: str = ""
    table: ShownTable | None = None
    svg: bytes | None = None
    style: str = "wide"

    @property
    def picture(self) -> str | None:
        """The picture in base64."""
        return None if self.svg is None else base64.b64encode(self.svg).decode()


def page(title: str, summary: str, notes: Sequence[str], sections: Sequence[Section], grid: Grid) -> str:
    """The page as HTML. All texts are escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    runs = [
        {"row": grid.name(group), "seed": seed, "folder": str(run.folder), "words": " ".join(run.overrides)}
        for group in grid.groups
        for seed, run in sorted(group.runs.items())
    ]
    return template.render(title=title, summary=summary, notes=notes, sections=sections, runs=runs)
