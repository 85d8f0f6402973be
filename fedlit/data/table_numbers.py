"""Numbers in the cells of a table."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedlit.errors import InputError

_TRUTH = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class NumberFormat:
    """How a file writes numbers.

    >>> NumberFormat(decimal=",", thousands=".").value("1.234,5")
    1234.5
    >>> print(NumberFormat().value("1,5"))
    None

    Args:
        decimal: the mark before the fraction.
        thousands: the mark between groups of three digits; None: there is none.
    """

    decimal: str = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        if len(self.decimal) != 1 or (self.thousands is not None and len(self.thousands) != 1):
            raise InputError("data.decimal and data.thousands are one character each; write '.' or ','.")
        if self.decimal == self.thousands:
            raise InputError(
                f"data.decimal and data.thousands are both {self.decimal!r}; write another one of the two."
            )

    def value(self, cell: str) -> int | float | None:
        """The number in a cell, exact if it is whole; infinity is a number, and None is returned for any other text."""
        text = self.plain(cell)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            pass
        try:
            value = float(text)
        except ValueError:
            return None
        return None if math.isnan(value) else value

    def canonical(self, cell: Any) -> Any:
        """The text of a category: numbers of one value have one text, and other cells stay as they are."""
        value = self.value(cell) if isinstance(cell, str) else None
        return cell if value is None else number_name(value)

    def plain(self, cell: str) -> str | None:
        """The cell as Python writes a number; None if it is none by its marks."""
        if "_" in cell:  # which Python takes for a mark of thousands
            return None
        if self.thousands is not None and self.thousands in cell:
            mark, point = re.escape(self.thousands), re.escape(self.decimal)
            if not re.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?", cell):
                return None
            cell = cell.replace(self.thousands, "")
        if self.decimal != ".":
            return None if "." in cell else cell.replace(self.decimal, ".")
        return cell


def number_name(value: int | float) -> str:
    """A number as text, the same for 1 and 1.0.

    >>> number_name(1.0), number_name(0.5)
    ('1', '0.5')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def numbers(table: pd.DataFrame, path: Path, form: NumberFormat, header: bool) -> np.ndarray:
    """The cells (N, D) as float64, NaN where a value is missing; `true` and `false` are 1 and 0.

    Raises:
        InputError: a cell holds neither a finite number nor a mark of a missing value, or the whole numbers of a column
            need more than 53 bits.
    """
    columns = [_column(table.iloc[:, position], path, form, header) for position in range(table.shape[1])]
    return np.stack(columns, axis=1) if columns else np.empty((len(table), 0))


def _column(column: pd.Series, path: Path, form: NumberFormat, header: bool) -> np.ndarray:
    cells = column.dropna()
    if len(cells) and cells.str.lower().isin(list(_TRUTH)).all():
        cells = cells.str.lower().map(_TRUTH)
    values = np.full(len(column), np.nan)
    present = column.notna().to_numpy()
    text: list[str | None] = cells.tolist()
    if form != NumberFormat() or "_" in "".join(cells.tolist()):  # most cells are numbers as they are
        text = [form.plain(cell) for cell in cells]
    try:
        values[present] = np.array(text, dtype=object).astype(np.float64)
    except (ValueError, TypeError):
        values[present] = np.nan
    if not np.isfinite(values[present]).all():
        position = next(i for i, cell in enumerate(cells) if not _is_finite(form.value(cell)))
        raise InputError(
            _no_number(path, column.index[present][position], cells.iloc[position], column.name, form, header)
        )
    if len(cells) and np.abs(values[present]).max() >= 2**53 and _collapse(cells, form):
        raise InputError(
            f"{path}: the whole numbers in column {column.name} need more than 53 bits; subtract a constant in the "
            "files, or write data.drop or data.categories with this column."
        )
    return values


def _is_finite(value: int | float | None) -> bool:
    return value is not None and math.isfinite(float(value) if abs(value) < 2**1000 else math.inf)


def _collapse(cells: pd.Series, form: NumberFormat) -> bool:
    """Whether different numbers become equal in 64-bit floats."""
    exact = {form.value(cell) for cell in cells}
    return len({float(value) for value in exact if value is not None}) < len(exact)


def _no_number(path: Path, row: object, cell: str, column: object, form: NumberFormat, header: bool) -> str:
    remedies = ["add it to data.missing, or the column to data.drop or data.categories"]
    if form.decimal != "," and re.fullmatch(r"[+-]?\d+,\d+", cell):
        remedies.append("write 'data.decimal=\",\"'")
    if row == 1 and not header:
        remedies.append("write data.header=true if the first line holds names")
    return f"{path}: row {row} has {cell!r} in column {column}, which is no number; {', or '.join(remedies)}."
