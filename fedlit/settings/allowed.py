"""What is allowed for a key, as the brackets in the comments of conf/ say it: `[0 < float <= 1]`, `[auto | cpu | gpu]`.

Alternatives are joined by `or` (words also by `|`): a range of `int` or `float`, `bool`, `text`, `path`, `class`,
`list`, `list of <kind>`, `mapping`, `null`, or a literal word such as `auto`. A float range accepts integers too, an
integer range accepts no float, and neither accepts true or false.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedlit.settings.closest import listed

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_RANGE = re.compile(
    rf"(?:(?P<low>{_NUMBER})\s*(?P<low_sign><=?)\s*)?(?P<kind>int|float)(?:\s*(?P<sign>[<>]=?)\s*(?P<bound>{_NUMBER}))?"
)
_WORD = re.compile(r"[\w.+/-]+")
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_KINDS = {
    "bool": "true or false",
    "text": "text",
    "path": "a path",
    "class": "an import path such as mine.Net",
    "list": "a list such as [1,2]",
    "mapping": "a mapping such as {a: 1}",
    "null": "null",
}
_EXAMPLES = {
    "bool": "true",
    "text": "mine",
    "path": "some/path",
    "class": "mine.Net",
    "list": "[1,2]",
    "mapping": "{a: 1}",
    "null": "null",
}


@dataclass(frozen=True)
class Range:
    """Integers or floats between two bounds; an absent bound is infinite."""

    kind: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether `value` is a finite number of this kind and within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else (int, float)):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return math.isfinite(value) and above and below

    def describe(self) -> str:
        """The range in words."""
        bounds = []
        if math.isfinite(self.low):
            bounds.append(f"{'above' if self.low_open else 'of at least'} {self.low:g}")
        if math.isfinite(self.high):
            bounds.append(f"{'below' if self.high_open else 'at most'} {self.high:g}")
        return " ".join(["an integer" if self.kind == "int" else "a number", " and ".join(bounds)]).strip()

    def example(self) -> str:
        """A number of the range."""
        if self.kind == "int":
            low = self.low + self.low_open if math.isfinite(self.low) else min(1, self.high - self.high_open)
            return f"{low:g}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{(self.low + self.high) / 2:g}"
        return f"{self.low + 1 if math.isfinite(self.low) else min(0.5, self.high - 1):g}"


@dataclass(frozen=True)
class Kind:
    """A kind of value without bounds: `bool`, `text`, `path`, `class`, `list`, `mapping`, `null`."""

    kind: str
    of: Range | Kind | None = None  # the kind of a list's elements

    def accepts(self, value: Any) -> bool:
        """Whether `value` is of this kind; a number is taken as text (a run may be named 12)."""
        if self.kind == "text":
            return isinstance(value, str | int | float) and not isinstance(value, bool)
        if self.kind == "class":
            return isinstance(value, str) and bool(_CLASS.fullmatch(value))
        if self.kind == "list":
            return isinstance(value, list | tuple) and (self.of is None or all(map(self.of.accepts, value)))
        if self.kind == "null":
            return value is None
        return isinstance(value, {"bool": bool, "path": str, "mapping": dict}[self.kind])

    def describe(self) -> str:
        """The kind in words."""
        return _KINDS[self.kind] if self.of is None else f"a list, each element {self.of.describe()}"

    def example(self) -> str:
        """A value of the kind."""
        return _EXAMPLES[self.kind] if self.of is None else f"[{self.of.example()}]"


@dataclass(frozen=True)
class Allowed:
    """The values that a key may have; `text` is the text between the brackets."""

    text: str
    kinds: tuple[Range | Kind, ...]
    words: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether a plain value (number, text, list, dict, None) is allowed."""
        as_text = str(value).lower() if isinstance(value, bool) else str(value)
        return as_text in self.words or any(kind.accepts(value) for kind in self.kinds)

    def takes(self, kind: str) -> bool:
        """Whether values of this kind (such as `mapping` or `float`) are allowed."""
        return any(k.kind == kind for k in self.kinds)

    def describe(self) -> str:
        """The allowed values in words: `an integer of at least 1 or null`."""
        words = [f"one of {', '.join(self.words)}" if len(self.words) > 2 else listed(self.words)] if self.words else []
        lists_last = sorted(self.kinds, key=lambda kind: isinstance(kind, Kind) and kind.of is not None)
        return " or ".join(words + [kind.describe() for kind in lists_last])

    def example(self) -> str:
        """An allowed value, as it is written on the command line."""
        return self.words[0] if self.words else self.kinds[0].example()


@cache
def allowed(text: str) -> Allowed:
    """Parse the text between the brackets of a comment; ValueError if it does not follow the grammar above."""
    kinds: list[Range | Kind] = []
    words: list[str] = []
    for part in re.split(r"\s+or\s+|\s*\|\s*", text.strip()):
        kind = _kind(part)
        if kind is not None:
            kinds.append(kind)
        elif _WORD.fullmatch(part):
            words.append(part)
        else:
            raise ValueError(f"[{text}] does not say what is allowed: {part!r} is neither a range, a kind nor a word")
    return Allowed(text.strip(), tuple(kinds), tuple(words))


def _kind(part: str) -> Range | Kind | None:
    if match := _RANGE.fullmatch(part):
        low, high = -math.inf, math.inf
        low_open = high_open = False
        if match["low"]:
            low, low_open = float(match["low"]), match["low_sign"] == "<"
        if match["bound"] and match["sign"][0] == ">":
            low, low_open = float(match["bound"]), match["sign"] == ">"
        elif match["bound"]:
            high, high_open = float(match["bound"]), match["sign"] == "<"
        return Range(match["kind"], low, high, low_open, high_open)
    if part.startswith("list of "):
        of = _kind(part.removeprefix("list of "))
        return None if of is None else Kind("list", of)
    return Kind(part) if part in _KINDS else None
