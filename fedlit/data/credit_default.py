"""Default of credit card clients in Taiwan: whether a payment is missed next month."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from fedlit.data.column_source import People, RawColumns, column_source
from fedlit.data.known_table import as_numbers, known_table
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.errors import InputError, one_line
from fedlit.randomness import generator

_COLUMNS = [
    "ID",
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    *(f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6)),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
    "default payment next month",
]
_CATEGORIES = ["SEX", "EDUCATION", "MARRIAGE"]
_PARTIES = {"guest": "rest", "host": "PAY_[0-9]"}
_ROWS = 30_000
_FILES = ("credit_default.csv", "UCI_Credit_Card.csv", "default of credit card clients.csv")
_GET_IT = (
    "get UCI_Credit_Card.csv from https://www.kaggle.com/datasets/uciml/default-of-credit-card-clients-dataset, or the "
    "table of https://archive.ics.uci.edu/dataset/350 and save it as CSV"
)


def credit_default(root: str | Path = "data", path: str | Path | None = None, test_fraction: float = 0.2) -> DataSource:
    """UCI default of credit card clients (Yeh, Lien 2009): 30,000 clients, 6,636 of whom default; two classes.

    Numbers are standardised by the training rows; sex, education and marriage become features of 0 and 1; the number of
    a client is left out. The data name no sites.

    In a vertical run sex, education and marriage are the numbers that the file has for them, and the number of a client
    is the id. The guest is a bank with 17 columns, the host has the six of the repayment status.

    Args:
        root: folder with `credit_default.csv`, `UCI_Credit_Card.csv` (Kaggle) or
            `default of credit card clients.csv` (UCI's Excel table saved as CSV, with one or both lines of names),
            sought in this order.
        path: such a file, in place of these.
        test_fraction: share of each class that is the test set; the rows are the same in every run.

    Raises:
        InputError: the file is missing or damaged, or has other counts.
    """
    file = Path(path).expanduser() if path is not None else _sought(Path(root).expanduser())
    table = known_table(file, _COLUMNS, _ROWS, _lines_of_names(file), _GET_IT)
    target = as_numbers(table[_COLUMNS[-1:]], file, _GET_IT)[:, 0]
    if not np.isin(target, (0, 1)).all():
        raise InputError(f"{file}: the last column is not 0 or 1 in each row; {_GET_IT}.")
    labels = target.astype(np.int64)
    train, test = stratified(labels, test_fraction, generator("credit_default", "test"))
    is_train = np.isin(np.arange(_ROWS), train)
    if not (len(train) and len(test)):
        raise InputError(f"data.test_fraction={test_fraction} leaves no row for training or for the test.")
    names = [name for name in _COLUMNS[1:-1] if name not in _CATEGORIES]
    as_numbers(table[_CATEGORIES], file, _GET_IT)  # codes, which are columns of numbers for the parties
    columns = RawColumns(as_numbers(table[names], file, _GET_IT), names, table[_CATEGORIES], _COLUMNS[1:-1])
    people = People(table["ID"].to_numpy(str), target, ["paid", "default"], is_train, ~is_train)
    return column_source("credit_default", columns, people, parties=_PARTIES, codes=_CATEGORIES)


def _sought(root: Path) -> Path:
    for name in _FILES:
        if (root / name).is_file():
            return root / name
    raise InputError(
        f"There is no {', no '.join(_FILES)} in {root.absolute()}; {_GET_IT} (or set data.root, or data.path to the "
        "file)."
    )


def _lines_of_names(file: Path) -> int:
    """The number of lines before the rows; the last of them has to hold the columns' names."""
    if not file.is_file():
        raise InputError(f"There is no file {file.absolute()}; {_GET_IT}.")
    if file.suffix.lower() in (".xls", ".xlsx"):
        raise InputError(
            f"{file} is an Excel table, which is not read; save it as CSV, and write data.path=<file>.csv."
        )
    try:
        first = pd.read_csv(file, header=None, nrows=2, dtype=str, keep_default_na=False, encoding_errors="replace")
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{file} cannot be read ({one_line(error)}); {_GET_IT}.") from None
    for number, names in enumerate(first.to_numpy().tolist(), start=1):
        if _plain(names) == _plain(_COLUMNS):
            return number
    raise InputError(f"{file} does not begin with the names {', '.join(_COLUMNS[:3])}, ...; {_GET_IT}.")


def _plain(names: list[str]) -> list[str]:
    """Names without marks; some copies number the repayment status of the first month by 1."""
    return [re.sub(r"\W|_", "", str(name)).lower().replace("pay1", "pay0") for name in names]
