"""The words of the report's command line: folders, and `key=value`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedlit.errors import InputError

HELP = """\
python -m fedlit.report <folder of a run or sweep, or of many> [...] [key=value ...]

Writes table.md, table.csv, table.tex, curves and spreads of clients (.pdf, .png), rounds_to_target.md and report.html.

out=<folder>        where they are written; default: report/ in the folder, or in this folder for more than one
metrics=<a,b>       columns of the table, the first is compared; default: those of clients/used, then global/test
baseline=<key=value,...>  rows are compared with the row of these values; default: with the best row
target=<a,b>        values of the first metric, of which rounds, bytes and seconds are counted
round=<n>           values of this round; default: of the last round of each run
test=t|wilcoxon     paired test by seed; default: t
"""
KEYS = ("out", "metrics", "baseline", "target", "round", "test")
TESTS = ("t", "wilcoxon")


@dataclass(frozen=True)
class Options:
    """What a report is made of."""

    folders: list[Path]
    out: Path
    out_is_given: bool = False  # else it is the default
    metrics: list[str] = field(default_factory=list)  # empty: the report chooses
    baseline: list[tuple[str, str]] = field(default_factory=list)  # (key, value) as written; empty: the best row
    targets: list[float] = field(default_factory=list)
    round: int | None = None
    test: str = "t"


def parse(words: Sequence[str]) -> Options:
    """The options of a command line.

    Raises:
        InputError: an unknown key, or a value that cannot be read.
    """
    folders: list[Path] = []
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if Path(word).expanduser().exists() or not equals:
            folders.append(Path(word).expanduser())
        elif key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            raise InputError(f"{word}: there is no option {key}; write {f'{near[0]}=...' if near else _listed()}.")
        elif not value:
            raise InputError(f"{word}: the value is missing; write {key}=<value>, or leave it out.")
        else:
            given[key] = value
    if not folders:
        raise InputError("No folder is given; write python -m fedlit.report <folder of a run or sweep>.")
    out = folders[0] / "report" if len(folders) == 1 else Path("report")
    return Options(
        folders,
        Path(given["out"]).expanduser() if "out" in given else out,
        "out" in given,
        _items(given.get("metrics", "")),
        _pairs(given.get("baseline", "")),
        [_number("target", text) for text in _items(given.get("target", ""))],
        _round(given["round"]) if "round" in given else None,
        _test(given.get("test", "t")),
    )


def _listed() -> str:
    return ", ".join(f"{key}=..." for key in KEYS)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.strip("[]").split(",") if item.strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    """(key, value) of each item, with an empty key for a value alone.

    >>> _pairs("aggregator=fedavg, 0.1,model.hidden=[64,32]")
    [('aggregator', 'fedavg'), ('', '0.1'), ('model.hidden', '[64,32]')]
    """
    items = [item.strip() for item in re.split(r",(?![^\[]*\])", text) if item.strip()]
    parts = [item.partition("=") for item in items]
    return [(key.strip(), value.strip()) if equals else ("", key) for key, equals, value in parts]


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{key}={text}: this is no number; write for example {key}=0.9.") from None


def _round(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"round={text}: a round is a whole number from 1 on; write for example round=20.")
    return int(text)


def _test(text: str) -> str:
    if text not in TESTS:
        raise InputError(f"test={text}: the paired tests are {' and '.join(TESTS)}; write test=t or leave it out.")
    return text
