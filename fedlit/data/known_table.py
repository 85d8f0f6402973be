"""A published table with known columns, read as text and checked by its counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fedlit.data.counts import check_count
from fedlit.errors import InputError, one_line


def known_table(file: Path, columns: Sequence[str], rows: int, lines_before: int, get_it: str) -> pd.DataFrame:
    """The rows of a text file with a comma between two cells, as text without spaces around a cell.

    Args:
        file: it has to exist.
        columns: names of all columns, in their order.
        rows: number of rows that the file has to hold.
        lines_before: lines before the first row.
        get_it: how to get the file, after a semicolon.

    Raises:
        InputError: the file cannot be read, or has other counts.
    """
    try:
        table = pd.read_csv(
            file, header=None, dtype=str, skiprows=lines_before, skipinitialspace=True, keep_default_na=False
        )
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{file} cannot be read ({one_line(error)}); {get_it}.") from None
    check_count(file, table.shape[1], len(columns), "column", get_it)
    check_count(file, len(table), rows, "row", get_it)
    if table.isna().any(axis=None):
        raise InputError(f"{file} has a row with fewer than {len(columns)} cells; {get_it}.")
    return table.set_axis(list(columns), axis=1).apply(lambda column: column.str.strip())


def as_numbers(table: pd.DataFrame, file: Path, get_it: str) -> np.ndarray:
    """The cells of a table as float64 (N, D).

    Raises:
        InputError: a cell is no finite number.
    """
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"{file}: {table.iloc[row, column]!r} in row {row + 1}, column {table.columns[column]}, is no number; "
            f"{get_it}."
        )
    return values
