"""Tables that come with scikit-learn, no download: diabetes (a regression) and breast cancer (two classes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes

from fedlit.data.column_source import People, RawColumns, column_source
from fedlit.data.column_table import row_ids
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.errors import InputError
from fedlit.randomness import generator


def diabetes(test_fraction: float = 0.2) -> DataSource:
    """Diabetes (Efron, Hastie, Johnstone, Tibshirani 2004, "Least angle regression"): 442 patients, ten columns.

    Age, sex, body mass index, blood pressure and six measurements of the serum predict the progression after a year, a
    number from 25 to 346. In a vertical run the guest has the last five columns, and the host the first five.

    Args:
        test_fraction: share of the patients that is the test set, the same in every run; 0 trains on all of them and
            tests on the same ones, as published fits of these data do.

    Raises:
        InputError: no patient is left for training or for the test.
    """
    bunch = load_diabetes(scaled=False)
    return _source("diabetes", bunch, None, {"guest": "s[2-6]", "host": "rest"}, test_fraction)


def breast_cancer(test_fraction: float = 0.2) -> DataSource:
    """Breast cancer in Wisconsin (Wolberg, Street, Mangasarian 1995; UCI): 569 tumours, 30 columns, two classes.

    Mean, standard error (`radius_error`) and worst value (`worst_radius`) of ten measures of a tumour's cells. Class 0
    is malignant, class 1 benign. In a vertical run the guest has the ten standard errors, the host the other columns.

    Args:
        test_fraction: share of each class that is the test set, the same in every run; 0 trains on all tumours and
            tests on the same ones.

    Raises:
        InputError: no tumour is left for training or for the test.
    """
    bunch = load_breast_cancer()
    labels = [str(name) for name in bunch.target_names]
    return _source("breast_cancer", bunch, labels, {"guest": "*_error", "host": "rest"}, test_fraction)


def _source(
    name: str, bunch: Any, labels: list[str] | None, parties: Mapping[str, str], test_fraction: float
) -> DataSource:
    rows = len(bunch.target)
    names = [str(column).replace(" ", "_") for column in bunch.feature_names]
    columns = RawColumns(np.asarray(bunch.data, np.float64), names, pd.DataFrame(index=range(rows)), names)
    train = test = np.ones(rows, dtype=bool)
    if test_fraction:
        classes = np.zeros(rows) if labels is None else bunch.target
        test = np.isin(np.arange(rows), stratified(classes, test_fraction, generator(name, "test"))[1])
        train = ~test
    if not (train.any() and test.any()):
        raise InputError(f"data.test_fraction={test_fraction} leaves no row for training or for the test.")
    people = People(row_ids(rows), np.asarray(bunch.target, np.float64), labels, train, test)
    return column_source(name, columns, people, parties)
