"""A user's table in one text file, for clients that divide its rows and for parties that divide its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from fedlit.data.column_source import People, RawColumns, column_source
from fedlit.data.column_table import row_ids
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.data.table_numbers import NumberFormat
from fedlit.data.table_rows import Form, Meaning, TableRows, check_split, table_rows
from fedlit.errors import InputError
from fedlit.randomness import generator
from fedlit.readable_names import utf8_name


def table(
    path: str | None,
    target: int | str = -1,
    id: int | str | None = None,
    categories: Sequence[int | str] = (),
    drop: Sequence[int | str] = (),
    missing: Sequence[str] = ("?", "NA"),
    test_fraction: float = 0.2,
    task: Literal["auto", "classes", "regression"] = "auto",
    target_above: float | None = None,
    classes: Sequence[int | float | str] | None = None,
    header: bool = True,
    separator: str = ",",
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str = "utf-8",
    root: str | Path = ".",
) -> DataSource:
    """A table with a row for each person.

    For clients, a feature x becomes `(x - mean) / deviation` by the training rows, and a missing value becomes 0. For
    the parties of a vertical run numbers stay as they are, and a category `clerk` of the column JOB is the column
    `JOB=clerk` of 0 and 1; a missing value is NaN, also in all columns of its categories. Vertical runs learn two
    classes, of which the second one counts as 1, or a regression.

    Args:
        path: the file.
        target: the column to predict, by number (from 0; -1 is the last) or by name. Rows without a target are left out
            and logged.
        id: the column that names the people, each one once; it predicts nothing. None: people are named by the numbers
            of their rows, from 1.
        categories: columns of words or codes, by number or name.
        drop: columns that are not used, by number or name.
        missing: marks of a missing value; an empty cell is one too, and a number stands for all cells of its value.
        test_fraction: share of each class that is the test set; the rows are the same in every run.
        task: "classes", "regression", or "auto": whole numbers and words are classes, other numbers a regression.
        target_above: turns a numeric target into two classes: 1 above this number, else 0.
        classes: the classes in their order, and no others; None: those of the rows, in sorted order.
        header: the first line holds the columns' names; without it they are named 0, 1, ...
        separator: one character between two cells.
        decimal: the mark before the fraction of a number.
        thousands: the mark between groups of three digits; None: there is none.
        encoding: of the file; a byte order mark goes before it.
        root: folder of a relative `path`.

    Raises:
        InputError: the file is missing or is no such table, two columns have one name, an id is missing or names two
            rows, or no row is left for training or for the test.
    """
    if path is None:
        raise InputError("data=table needs the file to read; write data.path=<file>.csv.")
    file = Path(root).expanduser() / Path(path).expanduser()
    if not file.is_file():
        raise InputError(
            f"There is no file {file.absolute()}; data.path is one text file, such as data.path=people.csv."
        )
    form = Form(header, separator, missing, encoding, NumberFormat(decimal, thousands))
    meaning = Meaning(target, drop, categories, task, target_above, classes, id)
    rows = table_rows({file.stem: file}, form, meaning)
    _refuse_equal_names(rows, file)
    ids = _ids(rows)
    labels = rows.targets.names
    values = rows.targets.values if labels else np.array([form.numbers.value(cell) for cell in rows.cells], np.float64)
    strata = values if labels else np.zeros(len(values))
    is_test = np.isin(np.arange(len(values)), stratified(strata, test_fraction, generator("table", "test"))[1])
    check_split(is_test, test_fraction)
    used = {*rows.names, *rows.categories.columns}
    columns = RawColumns(rows.numbers, rows.names, rows.categories, [name for name in rows.columns if name in used])
    people = People(ids, values.astype(np.float64), labels, ~is_test, is_test)
    return column_source(utf8_name(file.stem), columns, people)


def _refuse_equal_names(rows: TableRows, file: Path) -> None:
    for name in (*rows.names, *rows.categories.columns):
        count = rows.columns.count(name)
        if count > 1:
            raise InputError(f"{file} has more than one column of the name {name!r}; give each a name of its own.")


def _ids(rows: TableRows) -> np.ndarray:
    """The ids (N,) of the people, as texts.

    Raises:
        InputError: a row has no id, or the id of another one.
    """
    if rows.ids is None:
        return row_ids(len(rows.cells))
    seen: dict[str, str] = {}
    for cell, place in zip(rows.ids, rows.place, strict=True):
        if not isinstance(cell, str):
            raise InputError(f"{place} has no id; write one, or name the column of the ids by data.id.")
        if cell in seen:
            raise InputError(f"{place} has the id {cell!r} of {seen[cell]}; each person has one row.")
        seen[cell] = place
    return np.array(list(seen))
