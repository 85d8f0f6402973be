"""The axis of the channels: by type and sizes, by option, or refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from fedlit.data.npz import npz
from fedlit.errors import InputError

FIRST, LAST, NONE = "channels_first", "channels_last", "no_channels"


def write(path: Path, x: np.ndarray) -> Path:
    y = np.arange(len(x)) % 2
    np.savez(path / "a.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    return path / "a.npz"


def array(kind: type, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(kind)


def in_layout(x: np.ndarray, layout: str) -> np.ndarray:
    """Channels first, by a loop over samples and channels."""
    if layout == NONE:
        return np.stack([sample[None] for sample in x])
    if layout == FIRST:
        return x
    return np.stack([np.stack([sample[..., c] for c in range(x.shape[-1])]) for sample in x])


@pytest.mark.parametrize(
    ("kind", "shape", "layout", "is_logged"),
    [
        (np.uint8, (9, 8), NONE, False),
        (np.uint8, (8, 8), NONE, False),
        (np.uint8, (9, 8, 3), LAST, False),
        (np.uint8, (9, 8, 1), LAST, False),
        (np.uint8, (3, 9, 8), FIRST, False),
        (np.uint8, (1, 9, 8), FIRST, False),
        (np.uint8, (9, 8, 5), LAST, False),  # more channels than an image has, in the documented place
        (np.uint8, (3, 9, 1), LAST, True),
        (np.uint8, (1, 9, 3), LAST, True),
        (np.uint8, (4, 5, 3), LAST, True),
        (np.uint8, (5, 2, 2), LAST, True),
        (np.uint8, (8,), FIRST, False),
        (np.float32, (9, 8), FIRST, False),
        (np.float64, (8, 8), FIRST, True),  # grey images, or channels of a series
        (np.float32, (3, 9, 8), FIRST, False),
        (np.float32, (16, 5, 5), FIRST, False),
        (np.float32, (16, 2, 2), FIRST, False),
        (np.float32, (8, 8, 3), LAST, True),
        (np.float64, (8, 8, 1), LAST, True),
        (np.float16, (3, 9, 1), FIRST, True),
        (np.float32, (9, 9, 9, 2), LAST, True),
        (np.float32, (8,), FIRST, False),
    ],
)
def test_the_layout_follows_from_type_and_sizes_and_doubt_is_logged(
    kind: type, shape: tuple[int, ...], layout: str, is_logged: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x = array(kind, shape)
    with caplog.at_level(logging.WARNING):
        source = npz(write(tmp_path, x), normalize="none")
    assert np.array_equal(source.train.tensors[0].numpy(), in_layout(x, layout))
    assert source.input_shape == in_layout(x, layout).shape[1:]
    assert len(caplog.records) == is_logged  # once, not for each array
    if is_logged:
        assert f"data.layout={layout} to confirm" in caplog.text and str(x.shape) in caplog.text


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (np.uint8, (5, 9, 9)),
        (np.uint8, (8, 8, 8)),
        (np.uint8, (13, 64, 64)),
        (np.float32, (9, 8, 3)),
        (float, (9, 128, 3)),
    ],
)
def test_sizes_that_fit_no_layout_are_refused_and_the_option_decides(
    kind: type, shape: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x = array(kind, shape)
    path = write(tmp_path, x)
    with pytest.raises(
        InputError, match=r"x_train of shape .* write data.layout=channels_first or data.layout="
    ) as raised:
        npz(path)
    assert "\n" not in str(raised.value)
    for layout in (FIRST, LAST):
        source = npz(path, normalize="none", layout=layout)  # type: ignore[arg-type]
        assert np.array_equal(source.train.tensors[0].numpy(), in_layout(x, layout))
    assert caplog.text == ""


@pytest.mark.parametrize("layout", [FIRST, LAST, NONE])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 7), (3, 3, 3), (5, 6, 7)])
def test_the_option_goes_before_the_sizes(layout: str, kind: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    x = array(kind, shape)
    source = npz(write(tmp_path, x), normalize="none", layout=layout)  # type: ignore[arg-type]
    assert np.array_equal(source.train.tensors[0].numpy(), in_layout(x, layout))


def test_statistics_are_those_of_the_channels_in_any_layout(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([0, 50, 900], [1, 9, 30], (40, 8, 8, 3))
    batch, _ = npz(write(tmp_path, x)).train.batch(np.arange(40))
    np.testing.assert_allclose(batch.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std((0, 2, 3), correction=0), 1, atol=1e-5)
