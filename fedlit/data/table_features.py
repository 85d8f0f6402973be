"""The columns of a table that predict, as features: numbers standardised, categories as features of 0 and 1."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fedlit.data.spellings import spellings
from fedlit.errors import InputError

_log = logging.getLogger(__name__)

_MOST_CATEGORIES = 1000  # of a column
_FAR_FROM_0 = 1e6  # size of a column's numbers, in units of their range, above which its least number is subtracted


def features_of(
    numbers: np.ndarray, categories: pd.DataFrame, names: Sequence[str], train: np.ndarray, indicators: bool
) -> np.ndarray:
    """Features (N, F) float32, computed in float64 by the training rows alone: numbers first, then categories.

    Args:
        numbers: (N, D) float64, NaN where a value is missing.
        categories: (N, C) text, NaN where a value is missing.
        names: of the D columns of numbers, for messages.
        train: (N,) bool, True for the training rows.
        indicators: for each column with a missing value in a training row, append a feature that is 1 where it is
            missing.

    Raises:
        InputError: a number is too large, or a column has too many categories.
    """
    parts = []
    if numbers.shape[1]:
        parts.append(standardised(numbers, names, train, indicators))
    if categories.shape[1]:
        parts.append(encoded(categories, train, indicators)[0])
    return np.concatenate(parts, axis=1)


def standardised(numbers: np.ndarray, names: Sequence[str], train: np.ndarray, indicators: bool) -> np.ndarray:
    """`(x - mean) / deviation`, and 0 where a value is missing.

    A feature without a value in the training rows has no mean, and is 0 everywhere.
    """
    values = _near_0(numbers, train)
    scale = StandardScaler()
    fill = SimpleImputer(strategy="constant", fill_value=0, add_indicator=indicators, keep_empty_features=True)
    with np.errstate(invalid="ignore", over="ignore"):  # scikit-learn divides by the number of values, which may be 0
        pipeline = make_pipeline(scale, fill).fit(values[train])
        features = pipeline.transform(values).astype(np.float32)
    overflows = ~np.isfinite(scale.var_) & np.isfinite(values[train]).any(0)
    too_large = overflows | ~np.isfinite(features[:, : values.shape[1]]).all(0)
    if too_large.any():
        raise InputError(
            f"the numbers in column {names[int(too_large.argmax())]} are too large; scale them in the files, or add it "
            "to data.drop."
        )
    return features


def _near_0(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The numbers, less the least one of a column that is far from 0, such as a time stamp, to round less."""
    with np.errstate(invalid="ignore"):
        least, largest = (extreme.reduce(values[train]) for extreme in (np.fmin, np.fmax))  # without NaN
        is_far = np.maximum(np.abs(least), np.abs(largest)) > _FAR_FROM_0 * (largest - least)
    return values - np.where(is_far & (largest > least), least, 0.0) if (is_far & (largest > least)).any() else values


def encoded(categories: pd.DataFrame, train: np.ndarray, indicators: bool) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """A 1 among as many features as the column has categories in the training rows, in sorted order.

    Returns the features (N, F) float32, and the position of the column and the category of each.

    A missing category, and one that no training row has, is all 0.
    """
    text = categories.astype(object).fillna("").set_axis(range(categories.shape[1]), axis=1)  # no other cell is empty
    kept: dict[int, np.ndarray] = {}
    for position, name in enumerate(categories.columns):
        column = text[position].to_numpy()
        seen = sorted(set(column[train]))
        if len(seen) > _MOST_CATEGORIES:
            raise InputError(
                f"column {name} has {len(seen)} categories, and at most {_MOST_CATEGORIES} are possible; add it to "
                "data.drop."
            )
        if set(column[~train]) - {"", *seen}:
            _log.warning("column %s has categories in test rows alone; their features are all 0.", name)
        for group in spellings(seen):
            _log.warning(
                "the categories %s of column %s are different ones; write them in one way if they are one.",
                *(", ".join(sorted(group)), name),
            )
        kept[position] = np.array([value for value in seen if value or indicators], dtype=object)
    columns = [position for position, values in kept.items() if len(values)]
    if not columns:
        return np.zeros((len(text), 0), np.float32), []
    encoder = OneHotEncoder(
        categories=[kept[position] for position in columns],
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32,
    )
    features = encoder.fit(text.loc[train, columns]).transform(text[columns])
    return features, [(position, value) for position in columns for value in kept[position]]
