"""A user's own .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fedlit.data.npz import npz
from fedlit.errors import InputError

RNG = np.random.default_rng(0)


def write(path: Path, **arrays: np.ndarray) -> Path:
    given = {
        "x_train": RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8),
        "y_test": np.array([3, 0, 1]),
    } | arrays
    np.savez(path, **{name: array for name, array in given.items() if array is not None})
    return path


def test_colour_images_are_transposed_to_channels_first(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    source = npz(write(tmp_path / "mine.npz", x_train=x), normalize=[0.5, 0.5])
    batch, y = source.train.batch(np.array([2, 4]))
    for row, sample in enumerate((2, 4)):
        for channel in range(3):
            expected = x[sample, :, :, channel] / 255 * 2 - 1
            np.testing.assert_allclose(batch[row, channel].numpy(), expected, atol=1e-6)
    assert y.tolist() == [2, 1]
    assert source.input_shape == (3, 4, 5) and source.classes == 4 and source.name == "mine"


def test_grey_images_get_a_channel(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8)
    source = npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3]))
    assert source.input_shape == (1, 4, 5)
    assert torch.equal(source.train.tensors[0][:, 0], torch.from_numpy(x))


def test_images_with_channels_first_do_not_change(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    assert torch.equal(npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3])).train.tensors[0], torch.from_numpy(x))


def test_features_are_standardised_by_the_training_samples(tmp_path: Path) -> None:
    x, other = RNG.normal(5, 3, (6, 7)), RNG.normal(9, 1, (3, 7))
    source = npz(write(tmp_path / "a.npz", x_train=x, x_test=other))
    batch, _ = source.test.batch(np.arange(3))
    np.testing.assert_allclose(batch.numpy(), (other - x.mean(0)) / x.std(0), rtol=1e-4, atol=1e-5)
    assert batch.dtype == torch.float32


def test_tokens_stay_integers(tmp_path: Path) -> None:
    x = RNG.integers(0, 99, (6, 11), dtype=np.int32)
    source = npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3]))
    assert torch.equal(source.train.batch(np.arange(6))[0], torch.from_numpy(x).long())


def test_float_targets_are_a_regression(tmp_path: Path) -> None:
    source = npz(write(tmp_path / "a.npz", y_train=np.linspace(0, 1, 6), y_test=np.linspace(0, 1, 3)))
    assert source.classes is None and source.train.labels() is None
    assert source.train.batch(np.arange(2))[1].dtype == torch.float32


def test_a_column_of_labels_is_flattened(tmp_path: Path) -> None:
    source = npz(write(tmp_path / "a.npz", y_train=np.arange(6, dtype=np.uint8)[:, None], y_test=np.zeros((3, 1), int)))
    assert source.train.labels().tolist() == [0, 1, 2, 3, 4, 5] and source.classes == 6


def test_sites_are_numbered_and_unknown_test_sites_are_minus_one(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.npz", sites_train=np.array(["b", "a", "b", "d", "a", "d"]), sites_test=np.array(["d", "c", "a"])
    )
    source = npz(path)
    assert source.train_sites.tolist() == [1, 0, 1, 2, 0, 2]
    assert source.test_sites.tolist() == [2, -1, 0]


def test_sites_may_be_numbers(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.npz", sites_train=np.array([900, 7, 7, 900, 31, 7], np.int16), sites_test=np.array([31, 7, 999])
    )
    source = npz(path)
    assert source.train_sites.tolist() == [2, 0, 0, 2, 1, 0] and source.test_sites.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_test": None}, "lacks y_test"),
        ({"y_train": np.array([0, 1])}, "x_train has 6, y_train has 2"),
        ({"y_train": np.array([0, 1, 2, 0, 1, -2])}, "numbered from 0, but the smallest is -2"),
        ({"y_train": np.array(list("abcdef"))}, "targets must be numbers"),
        ({"x_test": np.zeros((3, 4, 4, 3), np.uint8)}, "differ in type or shape"),
        ({"sites_train": np.arange(6)}, "only one of sites_train and sites_test"),
        ({"x_test": np.zeros((0, 4, 5, 3), np.uint8), "y_test": np.zeros(0, int)}, "above 0"),
        ({"x_train": np.array([None] * 6)}, "plain arrays"),
    ],
)
def test_a_file_with_wrong_arrays_is_refused_in_a_sentence(tmp_path: Path, arrays: dict, message: str) -> None:
    path = write(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message) as raised:
        npz(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*gone.npz"):
        npz(tmp_path / "gone.npz")
    with pytest.raises(InputError, match="data.path="):
        npz(None)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        npz(tmp_path / "a.npz")


def test_augmentation_of_features_is_refused(tmp_path: Path) -> None:
    x = RNG.normal(0, 1, (6, 7))
    path = write(tmp_path / "a.npz", x_train=x, x_test=x[:3])
    with pytest.raises(InputError, match="data.augment.crop=0"):
        npz(path, augment={"crop": 4, "flip": False})
    assert npz(path, augment={"crop": 0, "flip": False}).transform is None
