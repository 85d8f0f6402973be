"""Tables of several sites, one text file each: hospitals, banks, plants."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.data.table import Table, read_table
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
    """One site a file; features are standardised, and their missing values filled, by the training rows of all sites.

    Args:
        path: the files, such as `hospitals/*.csv`; what the `*` stands for is the site's name.
        target: the column to predict, by number (from 0, -1 is the last) or by name. Whole numbers and words are
            classes, in sorted order; other numbers are a regression.
        target_above: makes two classes of a number: 1 above this, else 0.
        header: the first line holds the columns' names.
        missing: marks of a missing value, besides an empty cell. A row without a target is left out, and logged.
        drop: columns that are not used, by number or name.
        indicators: append, for each feature that training rows lack, one that is 1 where it is missing.
        test_fraction: of each site's rows, and of each class of it; always the same rows.
        sites: names for the `*`, all of which must be there; None: all files that match.
        root: the folder from which a relative `path` starts.
        download_from: an address with a `*` for the site's name, for the message when a file is not there.

    Raises:
        InputError: no such files, or files that do not go together.
    """
    if path is None:
        raise InputError("data=csv_sites needs the files to read, one a site; write data.path='<folder>/*.csv'.")
    found = _files(str(Path(root).expanduser() / Path(path).expanduser()), sites, download_from)
    tables = [read_table(file, header, separator, ("", *missing)) for file in found.values()]
    for file, table in zip(found.values(), tables, strict=True):
        if table.names != tables[0].names:
            raise InputError(f"{file} has other columns than {tables[0].path}; all sites need the same ones.")
    at = tables[0].position(target, "target")
    unused = {at, *(tables[0].position(column, "drop") for column in drop)}
    rows = _rows(tables, at, [i for i in range(len(tables[0].names)) if i not in unused])
    targets, classes, names = _targets(rows.target, target_above)
    test = _split(rows.site, targets if classes else np.zeros(len(targets)), list(found), test_fraction)
    if test.all() or not test.any():
        raise InputError(
            f"data.test_fraction={test_fraction} of {len(test)} rows leaves {(~test).sum()} for training and "
            f"{test.sum()} for the test; both need one at least."
        )
    features = torch.from_numpy(_standardised(rows.features, ~test, indicators))
    y = torch.from_numpy(targets)
    parts = [torch.from_numpy(np.flatnonzero(chosen)) for chosen in (~test, test)]
    first, second = (TensorSamples(features[part], y[part]) for part in parts)
    return DataSource(
        name,
        first,
        second,
        classes,
        (features.shape[1],),
        rows.site[~test],
        rows.site[test],
        label_names=names,
        site_names=list(found),
    )


def _files(pattern: str, sites: Sequence[str] | None, download_from: str | None) -> dict[str, Path]:
    """The files by the names of their sites."""
    folder, last = str(Path(pattern).parent), Path(pattern).name
    before, star, after = last.partition("*")
    if not star or "*" in after or any(mark in pattern for mark in "?[") or "*" in folder:
        raise InputError(
            f"data.path={pattern} needs one * in the file's name, which stands for the name of the site; "
            "write data.path='<folder>/*.csv'."
        )
    if sites is None:
        files = sorted(Path(file) for file in glob.glob(pattern))
        found = {file.name[len(before) : len(file.name) - len(after)]: file for file in files if file.is_file()}
        if not found:
            raise InputError(
                f"There is no file {pattern}; data.path is one file a site, such as data.path='<folder>/*.csv'."
            )
        return found
    found = {site: Path(folder, f"{before}{site}{after}") for site in sites}
    absent = [site for site, file in found.items() if not file.is_file()]
    if absent:
        said = ", ".join(str(found[site]) for site in absent)
        get = "take them out of data.sites, or set data.root to the folder that has them."
        if download_from is not None:
            out = Path(folder, f"{before}#1{after}")
            address = download_from.replace("*", "{" + ",".join(absent) + "}")  # curl's braces; #1 is what stands there
            get = f"get them by: curl --create-dirs -o '{out}' '{address}'"
        raise InputError(f"{'These files are' if len(absent) > 1 else 'This file is'} not there: {said}; {get}")
    return found


@dataclass
class _Rows:
    site: np.ndarray  # (N,) int64
    features: np.ndarray  # (N, D) float64, NaN: missing
    target: np.ndarray  # (N,) text


def _rows(tables: Sequence[Table], target: int, columns: Sequence[int]) -> _Rows:
    kept = [~table.missing[:, target] for table in tables]
    for table, keep in zip(tables, kept, strict=True):
        if not keep.all():
            _log.warning("%s: %d rows without a target are left out.", table.path, len(keep) - keep.sum())
        if not keep.any():
            raise InputError(f"{table.path} has no row with a target; every site needs one.")
    return _Rows(
        np.repeat(np.arange(len(tables)), [keep.sum() for keep in kept]),
        np.concatenate([table.numbers(columns)[keep] for table, keep in zip(tables, kept, strict=True)]),
        np.concatenate([table.cells[keep, target] for table, keep in zip(tables, kept, strict=True)]),
    )


def _targets(text: np.ndarray, above: float | None) -> tuple[np.ndarray, int | None, list[str] | None]:
    """Targets (N,), the number of classes (None: a regression), and the classes' names."""
    try:
        number = text.astype(np.float64)
    except ValueError:
        if above is not None:
            raise InputError(
                f"data.target_above={above} needs numbers as targets, not words; write data.target_above=null."
            ) from None
        names, labels = np.unique(text, return_inverse=True)
        return labels.astype(np.int64), len(names), [str(name) for name in names]
    if above is not None:
        return (number > above).astype(np.int64), 2, [f"at most {above:g}", f"above {above:g}"]
    if (number != np.rint(number)).any():
        return number.astype(np.float32), None, None
    values, labels = np.unique(number, return_inverse=True)
    return labels.astype(np.int64), len(values), [f"{value:g}" for value in values]


def _split(site: np.ndarray, classes: np.ndarray, names: Sequence[str], fraction: float) -> np.ndarray:
    """(N,) bool: the test rows, drawn in each site from a stream of its own name."""
    test = np.zeros(len(site), dtype=bool)
    for number, name in enumerate(names):
        rows = np.flatnonzero(site == number)
        test[rows[stratified(classes[rows], fraction, generator("csv_sites", "test", name))[1]]] = True
    return test


def _standardised(features: np.ndarray, train: np.ndarray, indicators: bool) -> np.ndarray:
    """(N, D + indicators) float32, mean 0 and deviation 1 over the training rows; missing values are 0, the mean."""
    absent = np.isnan(features)
    counts = (~absent[train]).sum(0).clip(min=1)
    mean = np.where(absent, 0, features)[train].sum(0) / counts
    centred = np.where(absent, 0, features - mean)
    deviation = np.sqrt((centred[train] ** 2).sum(0) / counts)
    scaled = centred / np.where(deviation > 0, deviation, 1)
    marked = absent[:, absent[train].any(0)] if indicators else absent[:, :0]
    return np.concatenate([scaled, marked], axis=1).astype(np.float32)
