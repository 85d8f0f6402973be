"""A table in a text file, as cells of text."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlit.errors import InputError


@dataclass
class Table:
    """Cells of text, and which of them are missing."""

    path: Path
    names: list[str]  # of the D columns; their numbers where the file has no header
    cells: np.ndarray  # (N, D) text
    missing: np.ndarray  # (N, D) bool

    def position(self, column: int | str, option: str) -> int:
        """The number of a column that an option names.

        Raises:
            InputError: there is no such column.
        """
        if isinstance(column, str) and column in self.names:
            return self.names.index(column)
        if isinstance(column, int) and -len(self.names) <= column < len(self.names):
            return column % len(self.names)
        raise InputError(
            f"data.{option}={column} is no column of {self.path}; write a number from 0 to {len(self.names) - 1} "
            f"or one of {', '.join(self.names)}."
        )

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """(N, len(columns)) float64, NaN where a cell is missing.

        Raises:
            InputError: a cell holds neither a number nor a mark of a missing value.
        """
        missing = self.missing[:, columns]
        text = np.where(missing, "nan", self.cells[:, columns])
        try:
            found = text.astype(np.float64)
        except ValueError:
            found = None
        if found is None or np.isinf(found).any():
            row, column = next((r, c) for r, c in np.ndindex(*text.shape) if not _is_number(str(text[r, c])))
            raise InputError(
                f"{self.path}: row {row + 1} has {str(text[row, column])!r} in column {self.names[columns[column]]}, "
                "which is no number; add it to data.missing, or the column to data.drop."
            )
        return found


def read_table(path: Path, header: bool, separator: str, missing: Sequence[str]) -> Table:
    """Read a text file of rows.

    Args:
        header: the first line holds the columns' names.
        missing: what a cell holds where its value is missing.

    Raises:
        InputError: the file is empty, or its rows are not of one length.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file, which is said below
            cells = np.loadtxt(path, str, delimiter=separator, comments=None, quotechar='"', ndmin=2, encoding="utf-8")
    except (ValueError, TypeError) as problem:
        raise InputError(f"{path} cannot be read as a table with data.separator={separator!r}: {problem}") from None
    cells = np.char.strip(cells)
    names = [str(name) for name in cells[0]] if header and len(cells) else [str(i) for i in range(cells.shape[1])]
    cells = cells[1:] if header else cells
    if not len(cells) or cells.shape[1] < 2:
        raise InputError(
            f"{path} has {cells.shape[1]} columns and {len(cells)} rows with data.separator={separator!r}; "
            "at least 2 columns and 1 row are needed."
        )
    absent = np.isin(cells, np.array(missing, dtype=str)) | (np.char.lower(cells) == "nan")
    return Table(path, names, cells, absent)


def _is_number(text: str) -> bool:
    try:
        return not math.isinf(float(text))
    except ValueError:
        return False
