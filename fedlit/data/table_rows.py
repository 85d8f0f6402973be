"""The rows of a user's table, in one file or in one a site, as numbers, categories and targets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedlit.data.table import column_position, in_one_order, log_doubtful_columns, read_table
from fedlit.data.table_numbers import NumberFormat, numbers
from fedlit.data.table_targets import TargetCells, Targets, read_targets
from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.readable_names import readable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """How the files are written.

    Attributes:
        header: the first line holds the columns' names.
        separator: one character between two cells.
        missing: marks of a missing value; an empty cell is one too, and a number stands for all cells of its value.
        encoding: of the files; a byte order mark goes before it.
        numbers: how the files write numbers.
    """

    header: bool
    separator: str
    missing: Sequence[Any]
    encoding: str
    numbers: NumberFormat


@dataclass(frozen=True)
class Meaning:
    """What the columns are, by number or by name.

    Attributes:
        target: the column to predict.
        drop: columns that are not used.
        categories: columns of words or codes.
        task, target_above, classes: of the target, see `fedlit.data.table_targets.read_targets`.
        id: the column that names the rows; None: no column does.
    """

    target: int | str
    drop: Sequence[int | str]
    categories: Sequence[int | str]
    task: str
    target_above: float | None
    classes: Sequence[int | float | str] | None
    id: int | str | None = None


@dataclass(frozen=True)
class TableRows:
    """The rows that have a target, N of them, file by file.

    Attributes:
        site: (N,) number of each row's file.
        columns: names of all columns, as the first file has them.
        numbers: (N, D) float64, NaN where a value is missing.
        names: of the D columns of numbers.
        categories: (N, C) text, NaN where a value is missing; numbers of one value have one text.
        targets: classes or numbers, in 32 bits.
        cells: (N,) the text of the targets.
        ids: (N,) the cells of the column that names the rows, NaN where one is missing; None: no column does.
        place: (N,) file and row of each row, for messages.
    """

    site: np.ndarray
    columns: list[str]
    numbers: np.ndarray
    names: list[str]
    categories: pd.DataFrame
    targets: Targets
    cells: list[str]
    ids: pd.Series | None
    place: list[str]


def table_rows(files: Mapping[str, Path], form: Form, meaning: Meaning) -> TableRows:
    """Read the tables.

    Args:
        files: by the names of their sites.

    Raises:
        InputError: a file is no such table, or the files differ in their columns or code the target in different ways.
    """
    missing, classes = _as_text(form.missing), None if meaning.classes is None else _as_text(meaning.classes)
    tables = in_one_order(
        {
            file: read_table(file, form.header, form.separator, missing, form.encoding, form.numbers)
            for file in files.values()
        },
        form.header,
    )
    first_file, *_ = tables
    names = list(tables[first_file].columns)
    target = column_position(names, meaning.target, "target", first_file)
    unused = {target, *(column_position(names, column, "drop", first_file) for column in meaning.drop)}
    id_column = None if meaning.id is None else column_position(names, meaning.id, "id", first_file)
    if id_column is not None:
        unused.add(id_column)
    encoded = {column_position(names, column, "categories", first_file) for column in meaning.categories} - unused
    numeric = [i for i in range(len(names)) if i not in unused | encoded]
    if not numeric and not encoded:
        raise InputError(f"{first_file} has no column left that predicts; remove columns from data.drop.")
    log_doubtful_columns(tables, numeric, form.header)

    tables = {file: _with_target(table, target, file) for file, table in tables.items()}
    together = pd.concat(list(tables.values()))
    cells = TargetCells(
        together.iloc[:, target].tolist(),
        np.repeat(np.arange(len(tables)), [len(table) for table in tables.values()]),
        [f"{file}: row {row}" for file, table in tables.items() for row in table.index],
        list(files),
    )
    values = [numbers(table.iloc[:, numeric], file, form.numbers, form.header) for file, table in tables.items()]
    return TableRows(
        cells.site,
        names,
        np.concatenate(values),
        [names[column] for column in numeric],
        together.iloc[:, sorted(encoded)].map(form.numbers.canonical),
        read_targets(cells, meaning.task, meaning.target_above, classes, form.numbers),
        list(cells.text),
        None if id_column is None else together.iloc[:, id_column],
        list(cells.place),
    )


def check_split(is_test: np.ndarray, test_fraction: float) -> None:
    """Refuse a split without training or without test rows.

    Args:
        is_test: (N,) bool.
        test_fraction: of the option, for the message.
    """
    if is_test.all() or not is_test.any():
        raise InputError(
            f"data.test_fraction={test_fraction} of {counted(len(is_test), 'row')} leaves {(~is_test).sum()} for "
            f"training and {is_test.sum()} for the test; both need one at least."
        )


def _with_target(table: pd.DataFrame, target: int, file: Path) -> pd.DataFrame:
    """The rows of a table that have a target; `target` is the position of its column."""
    has_target = table.iloc[:, target].notna()
    if not has_target.all():
        left_out = int((~has_target).sum())
        verb = "is" if left_out == 1 else "are"
        _log.warning("%s: %s without a target %s left out.", file, counted(left_out, "row"), verb)
    if not has_target.any():
        raise InputError(f"{file} has no row with a target; write another data.target, or fill in the targets.")
    return table[has_target]


def _as_text(values: Sequence[Any]) -> list[Any]:
    """Words of the command line, as the tables write them under any locale."""
    return [readable(value) if isinstance(value, str) else value for value in values]
