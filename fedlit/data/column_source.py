"""From the columns of a table to samples for the rounds of clients and to columns for the parties of a vertical run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from fedlit.data.column_table import ColumnTable
from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.table_features import encoded, standardised


@dataclass
class RawColumns:
    """The columns of all rows that predict, N rows.

    Attributes:
        numbers: (N, D) float64, NaN where a value is missing.
        names: of the D columns of numbers.
        categories: (N, C) text, NaN where a value is missing; no cell is empty.
        order: names of the D + C columns as the file has them.
    """

    numbers: np.ndarray
    names: Sequence[str]
    categories: pd.DataFrame
    order: Sequence[str]


@dataclass
class People:
    """The rows themselves.

    Attributes:
        ids: (N,) texts.
        target: (N,) float64: classes 0 and 1, or numbers.
        label_names: of the classes; None: a regression.
        train: (N,) bool, True for the training rows.
        test: (N,) bool, True for the test rows; a row may be both.
    """

    ids: np.ndarray
    target: np.ndarray
    label_names: list[str] | None
    train: np.ndarray
    test: np.ndarray


def column_source(
    name: str,
    columns: RawColumns,
    people: People,
    parties: Mapping[str, Any] | None = None,
    codes: Sequence[str] = (),
    sites: np.ndarray | None = None,
) -> DataSource:
    """A source in memory with `columns`.

    The samples are float32 features, numbers first: standardised by the training rows, and 0 where a value is missing;
    a category is a feature of 0 and 1, and a missing one is all 0. The table of columns has raw numbers and, in the
    place of a column of categories, a column of 0 and 1 for each category of a training row, NaN where it is missing.
    With more than two classes there is no table of columns.

    Args:
        name: of the data set, for messages.
        parties: the usual division of the columns among parties.
        codes: columns of categories that are numbers in the table of columns.
        sites: (N,) the natural client of each row.

    Raises:
        InputError: a number is too large, a column has too many categories, or two rows or columns have one name.
    """
    indicators, of_category = encoded(columns.categories, people.train, indicators=False)
    parts = [indicators]
    if columns.numbers.shape[1]:
        parts.insert(0, standardised(columns.numbers, columns.names, people.train, indicators=False))
    features = torch.from_numpy(np.concatenate(parts, axis=1))
    is_class = people.label_names is not None
    targets = torch.from_numpy(people.target.astype(np.int64 if is_class else np.float32))
    rows = [torch.from_numpy(np.flatnonzero(chosen)) for chosen in (people.train, people.test)]
    train, test = (TensorSamples(features[part], targets[part]) for part in rows)
    source = DataSource(
        name,
        train,
        test,
        classes=len(people.label_names) if people.label_names is not None else None,
        input_shape=(features.shape[1],),
        train_sites=None if sites is None else sites[people.train],
        test_sites=None if sites is None else sites[people.test],
        label_names=people.label_names,
    )
    if people.label_names is None or len(people.label_names) == 2:
        names, values = _raw(columns, indicators, of_category, codes)
        train_rows, test_rows = people.train, people.test
        source.columns = ColumnTable(
            name,
            tuple(names),
            values[train_rows],
            values[test_rows],
            people.ids[train_rows],
            people.ids[test_rows],
            people.target[train_rows],
            people.target[test_rows],
            "regression" if people.label_names is None else "binary",
            parties,
        )
    return source


def _raw(
    columns: RawColumns, indicators: np.ndarray, of_category: Sequence[tuple[int, str]], codes: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """The names of the raw columns, and the columns (N, F) float64, in the order of the file."""
    raw = [(name, name, values) for name, values in zip(columns.names, columns.numbers.T, strict=True)]
    raw += [(name, name, columns.categories[name].to_numpy(np.float64)) for name in codes]
    for (position, category), values in zip(of_category, indicators.T, strict=True):
        name = columns.categories.columns[position]
        if name not in codes:
            missing = columns.categories[name].isna().to_numpy()
            raw.append((name, f"{name}={category}", np.where(missing, np.nan, values.astype(np.float64))))
    place = {name: number for number, name in enumerate(columns.order)}
    raw.sort(key=lambda column: place[column[0]])
    return [name for _, name, _ in raw], np.stack([values for *_, values in raw], axis=1)
