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
        ({"y_test": None}, "lacks y_test; it has x_train, y_train, x_test, and needs"),
        ({"y_test": None, "Y": np.zeros(3)}, "it has x_train, y_train, x_test, Y, and needs"),
        (dict.fromkeys(("x_train", "y_train", "x_test", "y_test")), "it has no array"),
        (
            {"x_train": np.zeros((6, 0)), "x_test": np.zeros((3, 0))},
            "x_train: inputs need at least one number a sample",
        ),
        ({"x_train": np.zeros((6, 3, 0))}, "x_train: inputs need at least one number"),
        ({"x_train": np.zeros(6)}, r"write x_train\[:, None\]"),
        ({"x_train": np.zeros((6, 2), complex)}, "x_train: inputs must be numbers .*, not complex128"),
        ({"x_train": np.full((6, 2), "a")}, "x_train: inputs must be numbers"),
        ({"x_train": np.zeros((6, 2), "datetime64[s]")}, "x_train: inputs must be numbers"),
        ({"x_train": np.zeros(6, "i4,i4")}, "x_train: inputs must be numbers"),
        ({"x_test": np.zeros((3, 4, 5, 3))}, "differ in type or shape: uint8 .* and float32"),
        (
            {"x_train": np.zeros((6, 2), np.int64), "x_test": np.zeros((3, 2))},
            "differ in type .*: int64 .* and float32",
        ),
        ({"x_train": np.full((6, 2), 2**63, np.uint64)}, "x_train holds numbers that are .* too large for int64"),
        ({"y_train": np.arange(6.0)}, "differ in type or shape: .* float32 .* and .* int64"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 10**9])}, "y_train: classes are .*, but these are 0 to 1000000000"),
        ({"y_test": np.array([0, 1, 2 * 10**9])}, "y_test: classes are .*, but these are 0 to 2000000000"),
        ({"y_train": np.full(6, 2**63, np.uint64)}, "y_train holds numbers .* write data.task=regression"),
        ({"y_train": np.array([0.5, np.nan] * 3)}, "y_train: targets hold NaN or infinite"),
        ({"y_test": np.array([[0.5], [np.inf], [0]])}, "y_test: targets hold NaN or infinite"),
        ({"y_train": np.array([[0.5, -np.inf]] * 6)}, "y_train: targets hold NaN or infinite"),
        ({"y_train": np.array([1e60, 0.5] * 3)}, "y_train: .* must fit into 32 bits"),
        ({"y_train": np.zeros(6, complex)}, "y_train: targets must be numbers"),
        (
            {"sites_train": np.arange(6), "sites_test": np.full(3, "a")},
            "of the same type in sites_train and sites_test",
        ),
        ({"sites_train": np.eye(6), "sites_test": np.eye(3)}, "sites are one number or word a sample"),
        ({"sites_train": np.full(6, np.nan), "sites_test": np.zeros(3)}, "sites_train holds NaN"),
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


@pytest.mark.parametrize("kind", [bool, np.int8, np.int16, np.uint16, np.uint32, np.uint64, ">i4", np.int64])
def test_integers_are_tokens_unless_they_are_named_features(kind: object, tmp_path: Path) -> None:
    x = RNG.integers(0, 2, (6, 3)).astype(kind)  # type: ignore[call-overload]
    x[:2] = [[0, 1, 0], [1, 0, 1]]
    path = write(tmp_path / "a.npz", x_train=x, x_test=x[:3])
    tokens, features = npz(path), npz(path, inputs="features")
    assert tokens.train.tensors[0].dtype == torch.int64 and tokens.train.tensors[0].tolist() == x.astype(int).tolist()
    expected = (x.astype(float) - x.astype(float).mean(0)) / x.astype(float).std(0)
    np.testing.assert_allclose(features.train.tensors[0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_bytes_and_whole_floats_may_be_named_tokens(kind: type, tmp_path: Path) -> None:
    x = RNG.integers(0, 99, (6, 3)).astype(kind)
    source = npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3]), inputs="tokens")
    assert source.train.tensors[0].dtype == torch.int64
    assert source.train.batch(np.arange(6))[0].tolist() == x.astype(int).tolist()


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.full((6, 2), 0.5), {"inputs": "tokens"}, "not whole, or too large for int64; write data.inputs=features"),
        (np.full((6, 2), np.nan), {"inputs": "tokens"}, "not whole"),
        (np.full((6, 2), 1e30), {"inputs": "tokens"}, "too large for int64"),
        (np.zeros((6, 2), int), {"layout": "channels_last"}, "tokens, which have no data.layout"),
    ],
)
def test_tokens_that_are_none_are_refused(x: np.ndarray, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3]), **options)


def test_bytes_may_be_named_features(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 3), dtype=np.uint8)
    source = npz(write(tmp_path / "a.npz", x_train=x, x_test=x[:3]), normalize="none", inputs="features")
    assert source.train.tensors[0].dtype == torch.float32 and source.train.tensors[0].tolist() == x.tolist()


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.uint8, bool])
@pytest.mark.parametrize("task", ["auto", "classes", "regression"])
def test_the_task_says_what_targets_are(
    task: str, kind: type, column: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    y = np.array([0, 1, 1, 0, 1, 0]).astype(kind)
    y = y[:, None] if column else y
    source = npz(write(tmp_path / "a.npz", y_train=y, y_test=y[:3]), task=task)  # type: ignore[arg-type]
    targets = source.train.tensors[1]
    if task == "classes" or (task == "auto" and np.dtype(kind).kind != "f"):
        assert targets.dtype == torch.int64 and source.classes == 2 and targets.tolist() == [0, 1, 1, 0, 1, 0]
    else:
        assert (
            targets.dtype == torch.float32 and source.classes is None and targets.tolist() == y.astype(float).tolist()
        )
    assert ("write data.task=classes" in caplog.text) == (task == "auto" and np.dtype(kind).kind == "f")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0.5, 1] * 3), "y_train holds numbers that are not whole"),
        (np.array([0, np.nan] * 3), "y_train holds numbers that are not whole"),
        (np.eye(6, dtype=int), "y_train: a sample has one class"),
        (np.array([-1.0, 1] * 3), "the smallest is -1"),
    ],
)
def test_targets_that_are_no_classes_are_refused_as_classes(y: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        npz(write(tmp_path / "a.npz", y_train=y, y_test=y[:3]), task="classes")


def test_negative_integers_may_be_a_regression(tmp_path: Path) -> None:
    y = np.array([-1, 1, -1, 5, 0, 1])
    source = npz(write(tmp_path / "a.npz", y_train=y, y_test=y[:3]), task="regression")
    assert source.classes is None and source.train.tensors[1].tolist() == y.tolist()


@pytest.mark.parametrize(("offset", "is_lost"), [(1.7e9, True), (100.0, False)])
def test_targets_that_32_bits_cannot_tell_apart_are_logged(
    offset: float, is_lost: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    y = np.linspace(0, 10, 6) + offset
    npz(write(tmp_path / "a.npz", y_train=y, y_test=y[:3]))
    assert ("cannot tell the targets apart" in caplog.text) == is_lost


def test_several_targets_with_gaps_are_kept_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    y = np.array([[0.5, np.nan], [np.nan, 2], [1, 1]] * 2)
    source = npz(write(tmp_path / "a.npz", y_train=y, y_test=y[:3]))
    np.testing.assert_array_equal(source.train.tensors[1].numpy(), y.astype(np.float32))
    assert "y_train holds NaN" in caplog.text


@pytest.mark.parametrize("types", [(np.float64, np.float32), (np.float16, np.float64), (">f4", np.float64)])
def test_training_and_test_features_may_have_different_widths(types: tuple[object, object], tmp_path: Path) -> None:
    x = RNG.integers(-9, 9, (6, 3)).astype(float)
    first, second = (x.astype(kind) for kind in types)  # type: ignore[call-overload]
    source = npz(write(tmp_path / "a.npz", x_train=first, x_test=second[:3]))
    assert torch.equal(source.train.tensors[0][:3], source.test.tensors[0])


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    x, y = RNG.normal(0, 1, (6, 3)), np.arange(6) % 2
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert len(npz(tmp_path / "a.npz").train) == 6


def test_sites_in_a_column_are_flattened(tmp_path: Path) -> None:
    source = npz(write(tmp_path / "a.npz", sites_train=np.arange(6)[:, None], sites_test=np.arange(3)[:, None]))
    assert source.train_sites.tolist() == [0, 1, 2, 3, 4, 5] and source.test_sites.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kept", ["flipped", "short", "empty", "no archive"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, kept, write):
    path, rng = tmp_path / "data.npz", np.random.default_rng(0)
    x, y = rng.normal(size=(200, 9)), np.arange(200) % 2
    write(path, x_train=x, y_train=y, x_test=x, y_test=y)
    content = bytearray(path.read_bytes())
    if kept == "flipped":
        content[300:340] = b"\xff" * 40
    damaged = {"short": content[:-500], "empty": b"", "no archive": b"x" * 500}.get(kept, content)
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="cannot be read as an .npz file") as refused:
        npz(path)
    assert "\n" not in str(refused.value)
