"""Samples held in memory: batches by index arrays of any leading shape."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch

from fedlit.data import TensorSamples
from fedlit.data.normalize import Normalize


@pytest.fixture
def images() -> TensorSamples:
    x = torch.arange(7 * 2 * 3 * 3, dtype=torch.uint8).reshape(7, 2, 3, 3)
    return TensorSamples(x, torch.arange(7) % 3, prepare=Normalize([0.5, 1.0], [2.0, 4.0], 3, 1 / 255))


def test_a_batch_holds_the_samples_of_the_index_in_its_order(images: TensorSamples) -> None:
    x, y = images.batch(np.array([5, 0, 5]))
    assert y.tolist() == [2, 0, 2]
    expected = (images.tensors[0][[5, 0, 5]].numpy() / 255 - np.array([0.5, 1.0]).reshape(2, 1, 1)) / np.array(
        [2.0, 4.0]
    ).reshape(2, 1, 1)
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-6)
    assert x.dtype == torch.float32


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 3), (0,)])
def test_a_batch_has_the_leading_axes_of_the_index(images: TensorSamples, shape: tuple[int, ...]) -> None:
    index = np.random.default_rng(0).integers(0, 7, shape)
    x, y = images.batch(index)
    assert x.shape == (*shape, 2, 3, 3) and y.shape == shape
    flat = images.batch(index.flatten())
    assert torch.equal(x.reshape(-1, 2, 3, 3), flat[0]) and torch.equal(y.flatten(), flat[1])


def test_images_stay_bytes_in_memory(images: TensorSamples) -> None:
    images.batch(np.arange(7))
    assert images.tensors[0].dtype == torch.uint8 and images.tensors[0].is_contiguous()


def test_writing_into_a_batch_does_not_change_the_samples() -> None:
    samples = TensorSamples(torch.zeros(3, 2), torch.zeros(3))
    samples.batch(np.arange(3))[0].add_(1)
    assert samples.tensors[0].sum() == 0


def test_read_only_and_narrow_index_arrays_do_not_warn(images: TensorSamples) -> None:
    index = np.array([1, 2], dtype=np.int32)
    index.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.batch(index)[1].tolist() == [1, 2]


def test_an_index_past_the_end_is_an_error(images: TensorSamples) -> None:
    with pytest.raises(IndexError):
        images.batch(np.array([7]))


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ((torch.zeros(3, 2), torch.tensor([2, 0, 1], dtype=torch.int32)), [2, 0, 1]),
        ((torch.zeros(3, 2), torch.tensor([True, False, True])), [1, 0, 1]),
        ((torch.zeros(3, 2), torch.zeros(3)), None),
        ((torch.zeros(3, 2), torch.zeros(3, 4, dtype=torch.int64)), None),
        ((torch.zeros(3, dtype=torch.int64),), None),
    ],
)
def test_labels_are_one_integer_a_sample(tensors: tuple[torch.Tensor, ...], expected: list[int] | None) -> None:
    labels = TensorSamples(*tensors).labels()
    if expected is None:
        assert labels is None
    else:
        assert labels is not None and labels.dtype == np.int64 and labels.tolist() == expected


def test_there_is_one_batch_for_each_part(images: TensorSamples) -> None:
    parts = [np.array([1, 2]), np.array([3])]
    assert [y.tolist() for _, y in images.batches(parts)] == [[1, 2], [0]]


def test_tensors_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        TensorSamples(torch.zeros(3), torch.zeros(2))


def test_samples_can_be_pickled(images: TensorSamples) -> None:
    again = pickle.loads(pickle.dumps(images))
    assert torch.equal(again.batch(np.arange(7))[0], images.batch(np.arange(7))[0])


def test_moved_samples_give_batches_on_the_device(images: TensorSamples) -> None:
    assert images.to("cpu") is images
    moved = images.to("meta")
    assert moved.tensors[0].device.type == "meta" and images.tensors[0].device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_equal_those_on_the_cpu(images: TensorSamples) -> None:
    index = np.array([[5, 0], [1, 1]])
    x, y = images.to("cuda").batch(index)
    assert (
        x.is_cuda and torch.allclose(x.cpu(), images.batch(index)[0]) and torch.equal(y.cpu(), images.batch(index)[1])
    )
