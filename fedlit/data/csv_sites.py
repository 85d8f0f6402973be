"""Tables of several sites, one text file each: hospitals, banks, plants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.site_files import site_files
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.data.table_features import features_of
from fedlit.data.table_numbers import NumberFormat
from fedlit.data.table_rows import Form, Meaning, check_split, table_rows
from fedlit.errors import InputError
from fedlit.randomness import generator


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
    form = Form(header, separator, missing, encoding, NumberFormat(decimal, thousands))
    files = site_files(str(Path(root).expanduser() / Path(path).expanduser()), sites, download_from)
    rows = table_rows(files, form, Meaning(target, drop, categories, task, target_above, classes))
    targets, site = rows.targets, rows.site
    is_test = _split(site, targets.values if targets.names else np.zeros(len(site)), list(files), test_fraction)
    check_split(is_test, test_fraction)
    features = features_of(rows.numbers, rows.categories, rows.names, ~is_test, indicators)
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


def _split(site: np.ndarray, classes: np.ndarray, names: Sequence[str], fraction: float) -> np.ndarray:
    """(N,) bool, True for test rows; each site draws them from a stream keyed by the site's name."""
    is_test = np.zeros(len(site), dtype=bool)
    for number, name in enumerate(names):
        rows = np.flatnonzero(site == number)
        is_test[rows[stratified(classes[rows], fraction, generator("csv_sites", "test", name))[1]]] = True
    return is_test
