"""Fed-Heart-Disease of FLamby: four hospitals, prepared and divided as FLamby does it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from fedlit.data.known_table import as_numbers, known_table
from fedlit.data.samples import TensorSamples
from fedlit.data.site_files import site_files
from fedlit.data.source import DataSource

HOSPITALS = {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}  # rows of each file
_COLUMNS = [  # named as in UCI's description
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"),
    "num",
]
_DROPPED, _ENCODED = ["slope", "ca", "thal"], ["cp", "restecg"]
_ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/processed.*.data"
_TRAIN_SHARE = 0.66
_LEAST_OF_CLASS = 3  # rows of each class that a hospital needs to be divided by class

Whose = Literal["hospital", "pooled"]  # the rows that give mean and deviation


def flamby_heart(
    root: str | Path = "data", normalize: Whose = "hospital", normalize_test: Whose | None = None
) -> DataSource:
    """Fed-Heart-Disease (Ogier du Terrail et al. 2022, arXiv:2210.04620), as in FLamby's code at commit a422b61.

    Of UCI's 920 patients, 740 are left: the columns slope, ca and thal are dropped, then rows with a missing value. The
    types of chest pain and of the electrocardiogram become features of 0 and 1, without the first type, at the end: 13
    features. Each hospital's rows are divided by scikit-learn's `train_test_split` with `random_state=43`, by class
    where it has three rows of each; training 199, 172, 30, 85 and test 104, 89, 16, 45. The class is whether there is a
    disease, and the hospital is the site.

    A feature x becomes `(x - mean) / (std + 1e-9)` in 32 bits, with the unbiased deviation of training rows.

    Args:
        root: folder with `processed.cleveland.data`, and so on.
        normalize: "hospital": mean and deviation of the hospital's own training rows; "pooled": those of all hospitals'
            training rows.
        normalize_test: the same for the test rows; None: as `normalize`. FLamby measures "Pooled Test" on rows that are
            normalised by all hospitals, also for models that were trained on rows normalised by each hospital.

    Raises:
        InputError: a file is missing or damaged, or has another number of rows.
    """
    pattern = Path(root).expanduser() / "processed.*.data"
    files = site_files(str(pattern), list(HOSPITALS), _ADDRESS)
    tables = [_read(files[name], rows) for name, rows in HOSPITALS.items()]
    hospital = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    table = pd.concat(tables, ignore_index=True)
    sick = (table.pop("num") > 0).to_numpy()
    is_train = np.concatenate([_training_rows(sick[hospital == number]) for number in range(len(tables))])
    encoded = pd.get_dummies(table, columns=_ENCODED, drop_first=True)
    features = torch.from_numpy(encoded.to_numpy(np.float32))
    y = torch.from_numpy(sick.astype(np.int64))
    train, test = (
        TensorSamples(_normalised(features, hospital, is_train, whose)[part], y[part])
        for part, whose in ((is_train, normalize), (~is_train, normalize_test or normalize))
    )
    sites = hospital[is_train], hospital[~is_train]
    shape = (features.shape[1],)
    return DataSource("flamby_heart", train, test, 2, shape, sites[0], sites[1], label_names=["healthy", "sick"])


def _read(file: Path, rows: int) -> pd.DataFrame:
    """The complete rows of a hospital, as numbers, without the columns that FLamby drops."""
    get_it = f"get it again from {_ADDRESS.replace('*', file.name.split('.')[1])}"
    text = known_table(file, _COLUMNS, rows, 0, get_it).drop(columns=_DROPPED)
    complete = text[(text != "?").all(axis=1)]
    return pd.DataFrame(as_numbers(complete, file, get_it), columns=complete.columns)


def _normalised(features: Tensor, hospital: np.ndarray, is_train: np.ndarray, whose: Whose) -> Tensor:
    """The features (N, F) by mean and deviation of the training rows of each hospital, or of all together."""
    group = hospital if whose == "hospital" else np.zeros_like(hospital)
    normalised = torch.empty_like(features)
    for number in np.unique(group):
        known = features[(group == number) & is_train]
        normalised[group == number] = (features[group == number] - known.mean(0)) / (known.std(0) + 1e-9)
    return normalised


def _training_rows(sick: np.ndarray) -> np.ndarray:
    """(n,) bool, True for the training rows of a hospital."""
    counts = np.bincount(sick, minlength=2)
    by_class = sick if counts.min() >= _LEAST_OF_CLASS else None
    train, _ = train_test_split(
        np.arange(len(sick)),
        test_size=1 - _TRAIN_SHARE,
        train_size=_TRAIN_SHARE,
        random_state=43,
        shuffle=True,
        stratify=by_class,
    )
    return np.isin(np.arange(len(sick)), train)
