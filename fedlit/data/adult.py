"""UCI adult: whether a person earns more than 50,000 dollars a year, from the census of 1994."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fedlit.data.column_source import People, RawColumns, column_source
from fedlit.data.column_table import row_ids
from fedlit.data.known_table import as_numbers, known_table
from fedlit.data.source import DataSource
from fedlit.errors import InputError

_NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_COLUMNS = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
]
_PARTIES = {"guest": "rest", "host": ["workclass=*", "occupation=*", "hours-per-week", "capital-*"]}
_CLASSES = ["<=50K", ">50K"]
_FILES = {"adult.data": (32_561, 0), "adult.test": (16_281, 1)}  # rows, and lines before them
_ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"


def adult(root: str | Path = "data") -> DataSource:
    """UCI adult (Becker, Kohavi 1996): 32,561 training and 16,281 test rows, as the files divide them; two classes.

    Numbers are standardised by the training rows; each category becomes a feature of 0 and 1, and a missing one is all
    0. There are two sites, persons without and with a doctorate (Mohri, Sivek, Suresh 2019, arXiv:1902.00146).

    In a vertical run each category is a column such as `sex=Male`, and persons are numbered from 1, those of
    `adult.test` after those of `adult.data`. The host is an employer, who knows work and hours; the guest has the rest.

    Args:
        root: folder with `adult.data` and `adult.test`.

    Raises:
        InputError: a file is missing or damaged, or has other counts.
    """
    tables = [_read(Path(root).expanduser() / name) for name in _FILES]
    sizes = [len(table) for table in tables]
    is_train = np.repeat([True, False], sizes)
    table = pd.concat(tables, ignore_index=True)
    numbers = np.concatenate([as_numbers(part[list(_NUMBERS)], Path(root), _get_it(Path(root))) for part in tables])
    categories = table[[name for name in _COLUMNS[:-1] if name not in _NUMBERS]].replace("?", np.nan)
    columns = RawColumns(numbers, _NUMBERS, categories, _COLUMNS[:-1])
    target = (table["income"] == _CLASSES[1]).to_numpy(np.float64)
    people = People(row_ids(len(table)), target, list(_CLASSES), is_train, ~is_train)
    sites = (table["education"] == "Doctorate").to_numpy(np.int64)
    return column_source("adult", columns, people, parties=_PARTIES, sites=sites)


def _read(file: Path) -> pd.DataFrame:
    get_it = _get_it(file.parent)
    if not file.is_file():
        raise InputError(f"There is no file {file.absolute()}; {get_it} (or set data.root to the folder that has it).")
    rows, lines_before = _FILES[file.name]
    table = known_table(file, _COLUMNS, rows, lines_before, get_it)
    table["income"] = table["income"].str.rstrip(".")  # the test file ends its rows by a full stop
    unknown = set(table["income"]) - set(_CLASSES)
    if unknown:
        raise InputError(f"{file}: the income {min(unknown)!r} is neither {' nor '.join(_CLASSES)}; {get_it}.")
    return table


def _get_it(folder: Path) -> str:
    return f"get it by: curl --create-dirs -o '{folder}/#1' '{_ADDRESS}/{{{','.join(_FILES)}}}'"
