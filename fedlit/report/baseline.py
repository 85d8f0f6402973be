"""`baseline=`: the values of the row that the others are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.errors import InputError
from fedlit.report.grid import Grid
from fedlit.report.row_values import same_value

Pairs = Sequence[tuple[str, str]]
"""(key, value) as they were written; an empty key for a value alone."""


def baseline_values(grid: Grid, written: Pairs) -> dict[str, str]:
    """Swept key -> the value that rows have. It may be written with the last part of its key (`alpha=1`), without a key
    (`fedavg`), or in another form of the number.

    Raises:
        InputError: a key was not varied, a value is that of no row, or a word fits more than one key.
    """
    values = {}
    for key, value in written:
        known = _key(grid, key, value, written) if key else _key_with(grid, value)
        values[known] = _value(grid, known, value, written)
    return values


def written_as(pairs: Pairs) -> str:
    """The word of the command line."""
    return "baseline=" + ",".join(f"{key}={value}" if key else value for key, value in pairs)


def _key(grid: Grid, key: str, value: str, written: Pairs) -> str:
    if key in grid.keys:
        return key
    ending = [known for known in grid.keys if known.endswith((f".{key}", f"/{key}", f"@{key}"))]
    if len(ending) > 1:
        raise InputError(
            f"{written_as(written)}: {key} may be {' or '.join(ending)}; write baseline={ending[0]}={value}."
        )
    if not ending:
        raise InputError(f"{written_as(written)}: {key} was not varied; varied were: {_varied(grid)}.")
    return ending[0]


def _key_with(grid: Grid, value: str) -> str:
    keys = [key for key in grid.keys if _same(grid, key, value)]
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise InputError(
            f"baseline={value}: this may be {' or '.join(f'{key}={value}' for key in keys)}; write one of them."
        )
    raise InputError(f"baseline={value}: no row has this value; varied were: {_varied(grid)}.")


def _value(grid: Grid, key: str, value: str, written: Pairs) -> str:
    same = _same(grid, key, value)
    if not same:
        options = ", ".join(grid.short[grid.keys.index(key)].values())
        raise InputError(f"{written_as(written)}: no row has these values; {key} has: {options}.")
    return same[0]


def _same(grid: Grid, key: str, value: str) -> list[str]:
    """The values of rows that a written value is: the same text, the same number, or the number that is shown."""
    shown = grid.short[grid.keys.index(key)]
    return [exact for exact, short in shown.items() if value in (exact, short) or same_value(value, exact)]


def _varied(grid: Grid) -> str:
    shown = zip(grid.keys, grid.short, strict=True)
    return ", ".join(f"{key} ({', '.join(values.values())})" for key, values in shown) or "-"
