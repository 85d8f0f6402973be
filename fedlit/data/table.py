"""A table from a text file, as a pandas DataFrame of text."""

from __future__ import annotations

import logging
import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedlit.data.table_numbers import NumberFormat
from fedlit.errors import InputError, one_line
from fedlit.plurals import counted
from fedlit.readable_names import readable

_log = logging.getLogger(__name__)

_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?")
_ROWS_TO_COUNT = 10  # rows of a site from which on 1, 2, 3, ... is no accident
_UNICODE_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def read_table(
    path: Path, header: bool, separator: str, missing: Sequence[object], encoding: str, form: NumberFormat
) -> pd.DataFrame:
    """Read a text file of rows; cells are text without surrounding spaces, NaN where a value is missing.

    Columns are named by the first line, or numbered ("0", "1", ...) without a header. Rows are numbered from 1.

    Args:
        header: the first line holds the columns' names.
        separator: one character between two cells, or `\\t`.
        missing: marks of a missing value; an empty cell and `nan` are marks too. A mark that is a number stands for all
            cells of this value.
        encoding: of the text; a byte order mark at its start goes before it.
        form: how the file writes numbers, to compare marks that are numbers.

    Raises:
        InputError: the file is no table, has rows of unequal length, fewer than 2 columns or no row.
    """
    separator = "\t" if separator == "\\t" else separator
    try:
        cells = _cells(path, separator, encoding)
    except UnicodeError:
        raise InputError(
            f"{path} cannot be read with data.encoding={encoding}; write its encoding, such as data.encoding=latin-1."
        ) from None
    except LookupError:
        raise InputError(
            f"data.encoding={encoding} is no encoding of Python; write utf-8, latin-1 or another one."
        ) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}); the file is damaged, get it again.") from None
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table with data.separator={separator!r}: {error}") from None
    names = [str(name) for name in (cells.iloc[0] if header and len(cells) else cells.columns)]
    rows = cells.iloc[1:] if header else cells
    if not len(rows) or len(names) < 2:
        raise InputError(
            f"{path} has {counted(len(names), 'column')} and {counted(len(rows), 'row')} with "
            f"data.separator={separator!r}; at least 2 columns and 1 row are needed{_other_separator(names)}."
        )
    in_yaml = {
        "null" if mark is None else str(mark).lower() for mark in missing if mark is None or isinstance(mark, bool)
    }
    in_any_case = ["nan", *in_yaml]  # YAML reads null, true and false as values
    rows = rows.mask(
        rows.isin(["", *map(str, missing)]) | rows.apply(lambda cells: cells.str.lower().isin(in_any_case))
    )
    values = {form.value(str(mark)) for mark in missing} - {None}
    if values:
        rows = rows.mask(rows.map(lambda cell: isinstance(cell, str) and form.value(cell) in values))
    return rows.set_axis(names, axis=1).set_axis(range(1, len(rows) + 1))


def column_position(names: Sequence[str], column: int | str, option: str, path: Path) -> int:
    """The position of a column that the option `data.<option>` names.

    Raises:
        InputError: there is no such column, or several have this name.
    """
    if isinstance(column, str):
        column = readable(column)
    if isinstance(column, str) and column in names:
        if list(names).count(column) > 1:
            raise InputError(
                f"data.{option}={column} is the name of several columns of {path}; write a number from 0 to "
                f"{len(names) - 1}."
            )
        return list(names).index(column)
    if isinstance(column, int) and -len(names) <= column < len(names):
        return column % len(names)
    if isinstance(column, int) and str(column) in names:  # a name that looks like a number, such as a year
        return column_position(names, str(column), option, path)
    raise InputError(
        f"data.{option}={column} is no column of {path}; write a number from 0 to {len(names) - 1} "
        f"or one of {', '.join(names)}."
    )


def in_one_order(tables: dict[Path, pd.DataFrame], header: bool) -> dict[Path, pd.DataFrame]:
    """The tables, by file, with their columns in the order of the first one.

    Raises:
        InputError: the tables have not the same columns.
    """
    first_file, *_ = tables
    names = list(tables[first_file].columns)
    by_name = header and len(set(names)) == len(names)
    for file, table in tables.items():
        if (sorted(table.columns) if by_name else list(table.columns)) != (sorted(names) if by_name else names):
            lacks, more = set(names) - set(table.columns), set(table.columns) - set(names)
            words = [f"lacks {', '.join(sorted(lacks))}"] * bool(lacks) + [f"has {', '.join(sorted(more))}"] * bool(
                more
            )
            difference = " and ".join(words) or "in another order"
            raise InputError(
                f"{file} has other columns than {first_file} ({difference}); all sites need the same ones."
            )
    return {file: table[names] if by_name else table for file, table in tables.items()}


def log_doubtful_columns(tables: dict[Path, pd.DataFrame], features: Sequence[int], header: bool) -> None:
    """Log names that look like a row, and features that count the rows.

    Args:
        tables: by file.
        features: positions of the columns that are used as numbers.
        header: the first line held the names.
    """
    first_file, *_ = tables
    names = list(tables[first_file].columns)
    if header and all(_NUMBER.fullmatch(name) for name in names) and names != [str(i) for i in range(len(names))]:
        _log.warning(
            "the names of the columns in %s are numbers (%s, ...); write data.header=false if the first line is a row.",
            *(first_file, ", ".join(names[:3])),
        )
    for column in features:
        if all(_counts_rows(table.iloc[:, column]) for table in tables.values()):
            name = names[column] or "without a name"
            _log.warning(
                "column %s counts the rows, and is used as a feature; write data.drop=[%d] if it is only their number.",
                *(name, column),
            )


def _counts_rows(column: pd.Series) -> bool:
    if len(column) < _ROWS_TO_COUNT or column.iloc[0] not in ("0", "1"):
        return False
    first = int(column.iloc[0])
    return column.tolist() == [str(number) for number in range(first, first + len(column))]


def _other_separator(names: Sequence[str]) -> str:
    """The option for a separator that the only name of a table contains."""
    separator = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), None)
    return "" if separator is None else f"; write 'data.separator=\"{separator}\"'".replace("\t", "\\t")


def _cells(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    if len(separator) != 1:
        raise ValueError("a separator is one character")
    # The C parser fills short rows with empty cells; the Python parser marks them by NaN.
    try:
        cells = pd.read_csv(
            path,
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            engine="python",
            encoding=_encoding(path, encoding),
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    short = cells.isna().any(axis=1)
    if short.any():
        raise ValueError(f"row {int(short.argmax()) + 1} has fewer cells than the first")
    return cells.apply(lambda column: column.str.strip())


def _encoding(path: Path, encoding: str) -> str:
    """The encoding that a byte order mark shows, else the given one."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    return next((name for mark, name in _UNICODE_MARKS.items() if start.startswith(mark)), encoding)
