"""Tables of several sites, one text file each: hospitals, banks, plants."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.site_files import site_files
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.data.table import column_position, in_one_order, log_doubtful_columns, read_table
from fedlit.data.table_features import features_of
from fedlit.data.table_numbers import NumberFormat, numbers
from fedlit.data.table_targets import TargetCells, read_targets
from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.randomness import generator
from fedlit.readable_names import readable

_log = logging.getLogger(__name__)


def csv_sites(
    path: str | None,
    target: int | str = -1,
    target_above: float | None = None,
    header: bool = True,
    separator: str = ",",
    missing: Sequence[str] = ("?", "NA"),
    drop: Sequence[int | str] = (),
    indicators: bool = False,
    test_fraction: float = 0.2,
    task: Literal["auto", "classes", "regression"] = "auto",
    classes: Sequence[int | float | str] | None = None,
    categories: Sequence[int | str] = (),
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str = "utf-8",
    sites: Sequence[str] | None = None,
    root: str | Path = ".",
    download_from: str | None = None,
    name: str = "csv_sites",
) -> DataSource:
    """Tables with one file a site, standardised by the training rows of all sites together.

    A feature x becomes `(x - mean) / deviation`; a missing value becomes 0, the mean.

    Args:
        path: the files, such as `hospitals/*.csv`; the part of a file's name at the `*` is the site's name.
        target: the column to predict, by number (from 0; -1 is the last) or by name.
        target_above: turns a numeric target into two classes: 1 above this number, else 0.
        header: the first line holds the columns' names.
        separator: one character between two cells.
        missing: marks of a missing value; an empty cell is one too, and a number stands for all cells of its value.
            Rows without a target are left out and logged.
        drop: columns that are not used, by number or name.
        indicators: for each feature that is missing in a training row, append a feature that is 1 where it is missing.
        test_fraction: share of each class at each site that is the test set; the rows are the same in every run.
        task: "classes", "regression", or "auto": whole numbers and words are classes, other numbers a regression.
        classes: the classes in their order, and no others; None: those of the rows, in sorted order.
        categories: columns of words or codes, by number or name. Each category of a training row becomes a feature that
            is 1 where the column has it, else 0.
        decimal: the mark before the fraction of a number.
        thousands: the mark between groups of three digits; None: there is none.
        encoding: of the files; a byte order mark goes before it.
        sites: names for the `*`, all of which must exist; None: all files that match.
        root: folder of a relative `path`.
        download_from: an address with a `*` for the site's name, for the message about a missing file.
        name: of the data set, for messages.

    Raises:
        InputError: a file is missing or is no such table, or the files differ in their columns or code the target in
            different ways.
    """
    if path is None:
        raise InputError("data=csv_sites needs the files to read, one a site; write data.path='<folder>/*.csv'.")
    form = NumberFormat(decimal, thousands)
    missing, classes = _as_text(missing), None if classes is None else _as_text(classes)
    files = site_files(str(Path(root).expanduser() / Path(path).expanduser()), sites, download_from)
    tables = in_one_order(
        {file: read_table(file, header, separator, missing, encoding, form) for file in files.values()}, header
    )
    first_file, *_ = tables
    names = list(tables[first_file].columns)
    target_column = column_position(names, target, "target", first_file)
    unused = {target_column, *(column_position(names, column, "drop", first_file) for column in drop)}
    encoded = {column_position(names, column, "categories", first_file) for column in categories} - unused
    numeric = [i for i in range(len(names)) if i not in unused | encoded]
    if not numeric and not encoded:
        raise InputError(f"{first_file} has no column left that predicts; remove columns from data.drop.")
    log_doubtful_columns(tables, numeric, header)

    tables = {file: _with_target(table, target_column, file) for file, table in tables.items()}
    site = np.repeat(np.arange(len(tables)), [len(table) for table in tables.values()])
    cells = TargetCells(
        [cell for table in tables.values() for cell in table.iloc[:, target_column]],
        site,
        [f"{file}: row {row}" for file, table in tables.items() for row in table.index],
        list(files),
    )
    values = [numbers(table.iloc[:, numeric], file, form, header) for file, table in tables.items()]
    targets = read_targets(cells, task, target_above, classes, form)
    is_test = _split(site, targets.values if targets.names else np.zeros(len(site)), list(files), test_fraction)
    if is_test.all() or not is_test.any():
        raise InputError(
            f"data.test_fraction={test_fraction} of {counted(len(is_test), 'row')} leaves {(~is_test).sum()} for "
            f"training and {is_test.sum()} for the test; both need one at least."
        )
    features = features_of(
        np.concatenate(values),
        pd.concat([table.iloc[:, sorted(encoded)] for table in tables.values()]).map(form.canonical),
        [names[column] for column in numeric],
        ~is_test,
        indicators,
    )
    x, y = torch.from_numpy(features), torch.from_numpy(targets.values)
    parts = [torch.from_numpy(np.flatnonzero(chosen)) for chosen in (~is_test, is_test)]
    train, test = (TensorSamples(x[part], y[part]) for part in parts)
    return DataSource(
        name,
        train,
        test,
        len(targets.names) if targets.names else None,
        (features.shape[1],),
        site[~is_test],
        site[is_test],
        label_names=targets.names,
    )


def _with_target(table: pd.DataFrame, target: int, file: Path) -> pd.DataFrame:
    """The rows of a table that have a target; `target` is the position of its column."""
    has_target = table.iloc[:, target].notna()
    if not has_target.all():
        left_out = int((~has_target).sum())
        verb = "is" if left_out == 1 else "are"
        _log.warning("%s: %s without a target %s left out.", file, counted(left_out, "row"), verb)
    if not has_target.any():
        raise InputError(f"{file} has no row with a target; every site needs one.")
    return table[has_target]


def _as_text(values: Sequence[Any]) -> list[Any]:
    """Words of the command line, as the tables write them under any locale."""
    return [readable(value) if isinstance(value, str) else value for value in values]


def _split(site: np.ndarray, classes: np.ndarray, names: Sequence[str], fraction: float) -> np.ndarray:
    """(N,) bool, True for test rows; each site draws them from a stream keyed by the site's name."""
    is_test = np.zeros(len(site), dtype=bool)
    for number, name in enumerate(names):
        rows = np.flatnonzero(site == number)
        is_test[rows[stratified(classes[rows], fraction, generator("csv_sites", "test", name))[1]]] = True
    return is_test
