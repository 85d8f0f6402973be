"""The embedded digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fedlit.data import TensorSamples
from fedlit.data.digits import _read, digits


def rows(samples: TensorSamples) -> set[tuple[int, ...]]:
    return {tuple(row) for row in samples.tensors[0].flatten(1).tolist()}


def test_a_fifth_of_each_class_is_the_test_set_and_no_image_is_lost() -> None:
    source = digits()
    digits_data = load_digits()
    x, y = _read()
    assert (x.reshape(-1, 64) == digits_data.data).all() and (y == digits_data.target).all()
    train, test = source.train.labels(), source.test.labels()
    assert train is not None and test is not None
    counts = np.bincount(digits_data.target)
    np.testing.assert_array_equal(np.bincount(test), np.rint(counts * 0.2))
    np.testing.assert_array_equal(np.bincount(train) + np.bincount(test), counts)
    together = np.concatenate([source.train.tensors[0].numpy(), source.test.tensors[0].numpy()]).reshape(1797, 64)
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, digits_data.data.astype(int).tolist()))


def test_images_keep_their_labels() -> None:
    digits_data = load_digits()
    x, y = _read()
    assert (x.reshape(-1, 64) == digits_data.data).all() and (y == digits_data.target).all()
    known = {
        tuple(row): label for row, label in zip(digits_data.data.astype(int).tolist(), digits_data.target, strict=True)
    }
    source = digits()
    images = source.test.tensors[0].flatten(1).tolist()
    assert [known[tuple(row)] for row in images] == source.test.labels().tolist()


def test_digits_are_normalised_images_of_ten_classes() -> None:
    source = digits()
    x, y = source.train.batch(np.arange(len(source.train)))
    assert source.input_shape == x.shape[1:] == (1, 8, 8) and source.classes == 10 and len(source.label_names) == 10
    assert source.train_sites is None and source.transform is None
    assert x.mean().item() == pytest.approx(0, abs=1e-5) and x.std().item() == pytest.approx(1, abs=1e-3)
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    assert source.train.tensors[0].dtype == torch.uint8


def test_digits_without_normalisation_lie_between_0_and_1() -> None:
    x, _ = digits(normalize="none").train.batch(np.arange(1000))
    assert x.min() == 0 and x.max() == 1


def test_the_split_is_the_same_in_every_call() -> None:
    assert torch.equal(digits().test.tensors[0], digits().test.tensors[0])
