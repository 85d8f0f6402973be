"""A table from a text file, as a pandas DataFrame of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fedlit.errors import InputError


def read_table(path: Path, header: bool, separator: str, missing: Sequence[str]) -> pd.DataFrame:
    """Read a text file of rows; cells are text without surrounding spaces, NaN where a value is missing.

    Columns are named by the first line, or numbered ("0", "1", ...) without a header. Rows are numbered from 1.

    Args:
        header: the first line holds the columns' names.
        separator: one character between two cells.
        missing: marks of a missing value; an empty cell and `nan` are marks too.

    Raises:
        InputError: the file is no table, has rows of unequal length, fewer than 2 columns or no row.
    """
    try:
        cells = _cells(path, separator)
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table with data.separator={separator!r}: {error}") from None
    names = [str(name) for name in (cells.iloc[0] if header and len(cells) else cells.columns)]
    rows = cells.iloc[1:] if header else cells
    if not len(rows) or len(names) < 2:
        raise InputError(
            f"{path} has {len(names)} columns and {len(rows)} rows with data.separator={separator!r}; "
            "at least 2 columns and 1 row are needed."
        )
    marks = ["", *missing]
    rows = rows.mask(rows.isin(marks) | rows.apply(lambda column: column.str.lower() == "nan"))
    return rows.set_axis(names, axis=1).set_axis(range(1, len(rows) + 1))


def column_position(names: Sequence[str], column: int | str, option: str, path: Path) -> int:
    """The position of a column that the option `data.<option>` names.

    Raises:
        InputError: there is no such column.
    """
    if isinstance(column, str) and column in names:
        return list(names).index(column)
    if isinstance(column, int) and -len(names) <= column < len(names):
        return column % len(names)
    raise InputError(
        f"data.{option}={column} is no column of {path}; write a number from 0 to {len(names) - 1} "
        f"or one of {', '.join(names)}."
    )


def numbers(table: pd.DataFrame, path: Path) -> np.ndarray:
    """The cells (N, D) as float64, NaN where a value is missing.

    Raises:
        InputError: a cell holds neither a finite number nor a mark of a missing value.
    """
    text = table.to_numpy(dtype=object)
    try:
        values = text.astype(np.float64)
    except ValueError:
        values = None
    if values is None or np.isinf(values).any():
        row, column = next(cell for cell in np.ndindex(*text.shape) if not _is_number(text[cell]))
        raise InputError(
            f"{path}: row {table.index[row]} has {text[row, column]!r} in column {table.columns[column]}, "
            "which is no number; add it to data.missing, or the column to data.drop."
        )
    return values


def _cells(path: Path, separator: str) -> pd.DataFrame:
    if len(separator) != 1:
        raise ValueError("a separator is one character")
    try:
        # The C parser fills short rows with empty cells; the Python parser marks them by NaN.
        cells = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, engine="python")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    short = cells.isna().any(axis=1)
    if short.any():
        raise ValueError(f"row {int(short.argmax()) + 1} has fewer cells than the first")
    return cells.apply(lambda column: column.str.strip())


def _is_number(text: str | float) -> bool:
    try:
        return not math.isinf(float(text))
    except ValueError:
        return False
