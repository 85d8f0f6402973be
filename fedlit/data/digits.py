"""The digits that come with scikit-learn: 1797 images of 8 x 8 pixels, no download."""

from __future__ import annotations

from collections.abc import Mapping
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
    from sklearn.datasets import load_digits  # slow to import, so not at the top

    data = load_digits()
    x, y = data.images.astype(np.uint8)[:, None], data.target.astype(np.int64)
    train, test = stratified(y, 0.2, generator("digits", "test"))
    prepare = normalizer(normalize, x[train], scale=1 / 16)
    train_samples, test_samples = (
        TensorSamples(torch.from_numpy(x[part]), torch.from_numpy(y[part]), prepare=prepare) for part in (train, test)
    )
    names = [str(name) for name in data.target_names]
    transform = augmentation(augment, (1, 8, 8))
    return DataSource("digits", train_samples, test_samples, 10, (1, 8, 8), label_names=names, transform=transform)
