"""Tables of several sites, one text file each: hospitals, banks, plants."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.data.table import column_position, numbers, read_table
from fedlit.errors import InputError
from fedlit.randomness import generator

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
    sites: Sequence[str] | None = None,
    root: str | Path = ".",
    download_from: str | None = None,
    name: str = "csv_sites",
) -> DataSource:
    """Tables with one file a site, standardised by the training rows of all sites together.

    A feature x becomes `(x - mean) / deviation`; a missing value becomes 0, the mean.

    Args:
        path: the files, such as `hospitals/*.csv`; the part of a file's name at the `*` is the site's name.
        target: the column to predict, by number (from 0; -1 is the last) or by name. Whole numbers and words are
            classes, in sorted order; other numbers are a regression.
        target_above: turns a numeric target into two classes: 1 above this number, else 0.
        header: the first line holds the columns' names.
        separator: one character between two cells.
        missing: marks of a missing value; an empty cell is one too. Rows without a target are left out and logged.
        drop: columns that are not used, by number or name.
        indicators: for each feature that is missing in a training row, append a feature that is 1 where it is missing.
        test_fraction: share of each class at each site that is the test set; the rows are the same in every run.
        sites: names for the `*`, all of which must exist; None: all files that match.
        root: folder of a relative `path`.
        download_from: an address with a `*` for the site's name, for the message about a missing file.
        name: of the data set, for messages.

    Raises:
        InputError: a file is missing or is no such table, or the files differ in their columns.
    """
    if path is None:
        raise InputError("data=csv_sites needs the files to read, one a site; write data.path='<folder>/*.csv'.")
    files = _site_files(str(Path(root).expanduser() / Path(path).expanduser()), sites, download_from)
    tables = [read_table(file, header, separator, missing) for file in files.values()]
    first_file, *_ = files.values()
    names = list(tables[0].columns)
    for file, table in zip(files.values(), tables, strict=True):
        if list(table.columns) != names:
            raise InputError(f"{file} has other columns than {first_file}; all sites need the same ones.")
    target_column = column_position(names, target, "target", first_file)
    unused = {target_column, *(column_position(names, column, "drop", first_file) for column in drop)}
    rows = _rows(files.values(), tables, target_column, [i for i in range(len(names)) if i not in unused])
    targets, classes, label_names = _targets(rows.target, target_above)
    is_test = _split(rows.site, targets if classes else np.zeros(len(targets)), list(files), test_fraction)
    if is_test.all() or not is_test.any():
        raise InputError(
            f"data.test_fraction={test_fraction} of {len(is_test)} rows leaves {(~is_test).sum()} for training and "
            f"{is_test.sum()} for the test; both need one at least."
        )
    features = torch.from_numpy(_standardised(rows.features, ~is_test, indicators))
    y = torch.from_numpy(targets)
    parts = [torch.from_numpy(np.flatnonzero(chosen)) for chosen in (~is_test, is_test)]
    train, test = (TensorSamples(features[part], y[part]) for part in parts)
    return DataSource(
        name,
        train,
        test,
        classes,
        (features.shape[1],),
        rows.site[~is_test],
        rows.site[is_test],
        label_names=label_names,
    )


def _site_files(pattern: str, sites: Sequence[str] | None, download_from: str | None) -> dict[str, Path]:
    """The files by the names of their sites."""
    folder, file_name = str(Path(pattern).parent), Path(pattern).name
    before, star, after = file_name.partition("*")
    if not star or "*" in after or any(mark in pattern for mark in "?[") or "*" in folder:
        raise InputError(
            f"data.path={pattern} needs one * in the file's name, in place of the site's name; "
            "write data.path='<folder>/*.csv'."
        )
    if sites is None:
        matching = sorted(Path(file) for file in glob.glob(pattern))
        files = {file.name[len(before) : len(file.name) - len(after)]: file for file in matching if file.is_file()}
        if not files:
            raise InputError(
                f"There is no file {pattern}; data.path is one file a site, such as data.path='<folder>/*.csv'."
            )
        return files
    files = {site: Path(folder, f"{before}{site}{after}") for site in sites}
    absent = [site for site, file in files.items() if not file.is_file()]
    if absent:
        listed = ", ".join(str(files[site]) for site in absent)
        remedy = "remove them from data.sites, or set data.root to the folder that has them."
        if download_from is not None:
            target = Path(folder, f"{before}#1{after}")  # curl replaces #1 by the name from the braces
            address = download_from.replace("*", "{" + ",".join(absent) + "}")
            remedy = f"get them by: curl --create-dirs -o '{target}' '{address}'"
        raise InputError(f"{'These files do' if len(absent) > 1 else 'This file does'} not exist: {listed}; {remedy}")
    return files


@dataclass
class _Rows:
    """The rows of all sites that have a target."""

    site: np.ndarray  # (N,) int64
    features: np.ndarray  # (N, D) float64, NaN: missing
    target: np.ndarray  # (N,) text


def _rows(files: Iterable[Path], tables: Sequence[pd.DataFrame], target: int, columns: Sequence[int]) -> _Rows:
    """Read the features of the rows that have a target.

    Args:
        target: position of the target's column.
        columns: positions of the D features.
    """
    has_target = [table.iloc[:, target].notna().to_numpy() for table in tables]
    for file, kept in zip(files, has_target, strict=True):
        if not kept.all():
            _log.warning("%s: %d rows without a target are left out.", file, len(kept) - kept.sum())
        if not kept.any():
            raise InputError(f"{file} has no row with a target; every site needs one.")
    features = [numbers(table.iloc[:, columns], file) for file, table in zip(files, tables, strict=True)]
    return _Rows(
        np.repeat(np.arange(len(tables)), [kept.sum() for kept in has_target]),
        np.concatenate([values[kept] for values, kept in zip(features, has_target, strict=True)]),
        np.array([cell for table in tables for cell in table.iloc[:, target].dropna()], dtype=str),
    )


def _targets(text: np.ndarray, above: float | None) -> tuple[np.ndarray, int | None, list[str] | None]:
    """Targets (N,), the number of classes (None: a regression), and the classes' names."""
    try:
        values = text.astype(np.float64)
    except ValueError:
        if above is not None:
            raise InputError(
                f"data.target_above={above} needs numbers as targets, not words; write data.target_above=null."
            ) from None
        names, labels = np.unique(text, return_inverse=True)
        return labels.astype(np.int64), len(names), [str(name) for name in names]
    if above is not None:
        return (values > above).astype(np.int64), 2, [f"at most {above:g}", f"above {above:g}"]
    if (values != np.rint(values)).any():
        return values.astype(np.float32), None, None
    classes, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.int64), len(classes), [f"{value:g}" for value in classes]


def _split(site: np.ndarray, classes: np.ndarray, names: Sequence[str], fraction: float) -> np.ndarray:
    """(N,) bool, True for test rows; each site draws them from a stream keyed by the site's name."""
    is_test = np.zeros(len(site), dtype=bool)
    for number, name in enumerate(names):
        rows = np.flatnonzero(site == number)
        is_test[rows[stratified(classes[rows], fraction, generator("csv_sites", "test", name))[1]]] = True
    return is_test


def _standardised(features: np.ndarray, train: np.ndarray, indicators: bool) -> np.ndarray:
    """(N, D + indicators) float32: `(x - mean) / deviation` by the training rows, and 0 where a value is missing.

    A feature without a value in the training rows has no mean, and is 0 everywhere.
    """
    scale = StandardScaler()
    fill = SimpleImputer(strategy="constant", fill_value=0, add_indicator=indicators, keep_empty_features=True)
    with np.errstate(invalid="ignore"):  # scikit-learn divides by the number of values, which may be 0
        pipeline = make_pipeline(scale, fill).fit(features[train])
    return pipeline.transform(features).astype(np.float32)
