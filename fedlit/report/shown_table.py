"""A table of texts, which markdown and the page show, and numbers as texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ShownTable:
    """
    Attributes:
        header: names of the columns.
        rows: texts, each with whether it is bold.
        texts: the number of columns at the left that hold no numbers.
    """

    header: list[str]
    rows: list[list[tuple[str, bool]]]
    texts: int

    def markdown(self) -> str:
        """The table as GitHub shows it, numbers at the right."""
        rule = ["---" if place < self.texts else "---:" for place in range(len(self.header))]
        rows = [[f"**{text}**" if bold else text for text, bold in row] for row in self.rows]
        return "".join(f"| {' | '.join(map(_escaped, row))} |\n" for row in (self.header, rule, *rows))


def plain_row(texts: Sequence[str]) -> list[tuple[str, bool]]:
    """A row without bold texts."""
    return [(text, False) for text in texts]


def number(value: float, spread: float = math.nan) -> str:
    """A number with the digits that its spread calls for: two digits of the spread; four digits without one.

    >>> number(0.91234, 0.0123), number(0.5), number(1234567.0)
    ('0.912', '0.5', '1234567')
    """
    if not math.isfinite(value):
        return "-"
    if math.isfinite(spread) and spread > 0:
        return f"{value:.{max(0, min(8, 1 - math.floor(math.log10(spread))))}f}"
    return f"{value:.0f}" if abs(value) >= 10000 else f"{value:.4g}"


def with_spread(mean: float, std: float, unit: str = "") -> str:
    """`0.912 ± 0.012`; the mean alone where there is no standard deviation.

    >>> with_spread(0.91234, 0.0123), with_spread(13.2, math.nan, " MB")
    ('0.912 ± 0.012', '13.2 MB')
    """
    spread = f" ± {number(std, std)}" if math.isfinite(std) else ""
    return f"{number(mean, std)}{spread}{unit}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
