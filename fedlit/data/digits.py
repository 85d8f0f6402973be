"""The digits that come with scikit-learn: 1797 images of 8 x 8 pixels, no download."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlit.data.augment import augmentation
from fedlit.data.normalize import normalizer
from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.split import stratified
from fedlit.randomness import generator


def digits(normalize: Any = "training", augment: Mapping[str, Any] | None = None) -> DataSource:
    """Optical recognition of handwritten digits (Alpaydin, Kaynak 1998; UCI), as scikit-learn embeds it.

    Images (1, 8, 8) with 17 grey values, ten classes. A fifth of each class is the test set, the same in every run.

    Args:
        normalize: "training", "none" (0 to 1) or `[mean, std]`: see `fedlit.data.normalize.normalizer`.
        augment: `crop` and `flip`: see `fedlit.data.augment.Augment`.
    """
    x, y = _read()
    train, test = stratified(y, 0.2, generator("digits", "test"))
    prepare = normalizer(normalize, x[train], scale=1 / 16)
    train_samples, test_samples = (
        TensorSamples(torch.from_numpy(x[part]), torch.from_numpy(y[part]), prepare=prepare) for part in (train, test)
    )
    names = [str(digit) for digit in range(10)]
    transform = augmentation(augment, (1, 8, 8))
    return DataSource("digits", train_samples, test_samples, 10, (1, 8, 8), label_names=names, transform=transform)


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 1, 8, 8) and labels (1797,).

    The numbers of `sklearn.datasets.load_digits()`, read from its file: the import takes half a second, with pandas.
    """
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None, "scikit-learn is a dependency"
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", np.int64, delimiter=",")
    return table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), table[:, -1]
