"""Human activity recognition by the sensors of a telephone, with each subject as a natural client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedlit.data.arrays import source_of
from fedlit.data.counts import check_count
from fedlit.data.source import DataSource, numbered
from fedlit.errors import InputError, one_line

ACTIVITIES = ["walking", "upstairs", "downstairs", "sitting", "standing", "lying"]
_SIGNALS = [f"{signal}_{axis}" for signal in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]
_WIDTH = 128  # numbers of a window: 2.56 s at 50 Hz
_ARCHIVE, _SUBSET = "UCI HAR Dataset", "har_subset.npz"
_ROWS = {"train": 7352, "test": 2947}  # windows of the two parts of the archive
_SUBSET_ROWS = 1080
_ADDRESS = "https://archive.ics.uci.edu/dataset/240"


def har(
    root: str | Path = "data",
    path: str | Path | None = None,
    normalize: Any = "training",
    test_fraction: float = 0.2,
) -> DataSource:
    """UCI human activity recognition using smartphones (Anguita et al. 2013): six activities of 30 subjects.

    A sample is a window (9, 128): body acceleration, angular velocity and total acceleration, each by x, y, z. The
    subject is the site. Of each activity of each subject, the last windows in the file's order are the test set: in the
    archive a window shares half of its numbers with the next one, so that a random split would test on known numbers.
    Here at most the first test window of an activity does, with the last training window.

    Args:
        root: folder with `UCI HAR Dataset` (the unpacked archive, 10,299 windows) or `har_subset.npz` (`x`, `y` from 0,
            `subject` of 1,080 of them), sought in this order.
        path: such a folder or file, in place of these.
        normalize: "training", "none" or `[mean, std]`: see `fedlit.data.normalize.normalizer`.
        test_fraction: share of each activity of each subject that is the test set.

    Raises:
        InputError: a file is missing or damaged, or has another number of windows.
    """
    files = Path(path).expanduser() if path is not None else _sought(Path(root).expanduser())
    if not files.exists():
        raise InputError(f"There is no file or folder {files.absolute()}; get the archive from {_ADDRESS}.")
    try:
        x, y, subject = _read_archive(files) if files.is_dir() else _read_subset(files)
    except InputError:
        raise
    except Exception as error:  # a damaged file raises errors of many kinds
        raise InputError(f"{files} cannot be read ({one_line(error)}); get it again from {_ADDRESS}.") from None
    if y.min() < 0 or y.max() >= len(ACTIVITIES):
        raise InputError(f"{files} has an activity that is not one of {len(ACTIVITIES)}; get it again from {_ADDRESS}.")
    is_test = _last_of_each(subject * len(ACTIVITIES) + y, test_fraction)
    for part, use, remedy in ((is_test, "the test", "raise"), (~is_test, "training", "lower")):
        if not part.any():
            raise InputError(f"data.test_fraction={test_fraction} leaves no window for {use}; {remedy} it.")
    train, test = ((x[part], y[part]) for part in (~is_test, is_test))
    source = source_of("har", train, test, normalize, list(ACTIVITIES))
    source.train_sites, source.test_sites = numbered(subject[~is_test], subject[is_test])
    return source


def _sought(root: Path) -> Path:
    for name in (_ARCHIVE, _SUBSET):
        if (root / name).exists():
            return root / name
    raise InputError(
        f"There is no folder '{_ARCHIVE}' and no {_SUBSET} in {root.absolute()}; get the archive from {_ADDRESS} and "
        "unpack it there (or set data.root to the folder that has it)."
    )


def _read_archive(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (10299, 9, 128), activities from 0 and subjects of both parts of the archive."""
    windows, activities, subjects = [], [], []
    for part, rows in _ROWS.items():
        files = [folder / part / "Inertial Signals" / f"{signal}_{part}.txt" for signal in _SIGNALS]
        windows.append(np.stack([_numbers(file, rows, _WIDTH) for file in files], axis=1))
        activities.append(_numbers(folder / part / f"y_{part}.txt", rows, 1)[:, 0].astype(np.int64) - 1)
        subjects.append(_numbers(folder / part / f"subject_{part}.txt", rows, 1)[:, 0].astype(np.int64))
    return np.concatenate(windows), np.concatenate(activities), np.concatenate(subjects)


def _numbers(file: Path, rows: int, columns: int) -> np.ndarray:
    """The table of a text file (rows, columns)."""
    table = pd.read_csv(file, sep=r"\s+", header=None).to_numpy(np.float64)
    again = f"get it again from {_ADDRESS}"
    check_count(file, len(table), rows, "row", again)
    check_count(file, table.shape[1], columns, "column", again)
    return table


def _read_subset(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        x, y, subject = (arrays[name] for name in ("x", "y", "subject"))
    check_count(file, len(x), _SUBSET_ROWS, "window", f"get it again, or the whole archive from {_ADDRESS}")
    if x.shape[1:] != (len(_SIGNALS), _WIDTH) or y.shape != (len(x),) or subject.shape != (len(x),):
        raise ValueError(f"x has shape {x.shape}, y {y.shape} and subject {subject.shape}")
    return x, y.astype(np.int64), subject.astype(np.int64)


def _last_of_each(group: np.ndarray, fraction: float) -> np.ndarray:
    """(N,) bool, True for the last samples of each group, a share of its size in whole samples."""
    order = np.argsort(group, kind="stable")
    _, starts, counts = np.unique(group[order], return_index=True, return_counts=True)
    rank = np.arange(len(group)) - np.repeat(starts, counts)
    chosen = np.empty(len(group), bool)
    chosen[order] = rank >= np.repeat(counts - np.rint(counts * fraction).astype(np.int64), counts)
    return chosen
