"""Feature shift: a client sees a sample the same way in every epoch, stage and batch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.partitions import Dirichlet, Feature, Iid, Labelled, Natural
from fedlit.partitions.feature_shift import rotate
from fedlit.randomness import generator

ALL = Feature(rotation=40.0, noise=0.5, colour=0.3)


def images(*lead: int, channels: int = 3, height: int = 8, width: int = 6) -> torch.Tensor:
    return torch.randn(*lead, channels, height, width, generator=torch.Generator().manual_seed(0))


def shifted(partition: Feature, x: torch.Tensor, index, client, stage: str = "train", seed: int = 0, key: int = 0):
    index, client = torch.as_tensor(index), torch.as_tensor(client)
    y = torch.arange(index.numel()).reshape(index.shape)
    out, same = partition.transform(seed)((x, y), index, client, stage, torch.full_like(client, key))
    assert same is y
    return out


@pytest.mark.parametrize("partition", [ALL, Feature(rotation=30), Feature(0, 0.5), Feature(0, 0, 0.4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stack_of_clients_sees_what_each_sees_alone(partition: Feature, dtype: torch.dtype):
    x = images(3, 5).to(dtype)
    index, clients = torch.arange(15).reshape(3, 5) * 7, torch.tensor([[4], [0], [900_000]])
    stack = shifted(partition, x, index, clients)
    assert stack.shape == x.shape and stack.dtype == dtype
    for k in range(3):
        assert torch.equal(stack[k], shifted(partition, x[k], index[k], clients[k]))
        for b in range(5):
            assert torch.equal(
                stack[k, b : b + 1], shifted(partition, x[k, b : b + 1], index[k, b : b + 1], clients[k])
            )
    mixed = shifted(partition, x.flatten(0, 1), index.flatten(), clients.expand(3, 5).flatten())
    assert torch.equal(mixed, stack.flatten(0, 1))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("key", [0, 5])
def test_the_shift_is_the_same_in_every_epoch_and_split(split: str, key: int):
    x, index = images(4), [3, 1, 8, 9]
    assert torch.equal(shifted(ALL, x, index, [2], split, key=key), shifted(ALL, x, index, [2]))


def test_draws_differ_by_seed_and_client_and_noise_also_by_sample():
    x = images(1).expand(2, -1, -1, -1)
    a = shifted(ALL, x, [0, 1], [2])
    assert not torch.equal(a, shifted(ALL, x, [0, 1], [3]))
    assert not torch.equal(a, shifted(ALL, x, [0, 1], [2], seed=1))
    assert not torch.equal(a[0], a[1])
    quiet = shifted(Feature(rotation=40.0, colour=0.3), x, [0, 1], [2])
    assert torch.equal(quiet[0], quiet[1])


def test_samples_without_a_client_and_strengths_of_zero_change_nothing():
    x = images(2)
    assert torch.equal(shifted(ALL, x, [0, 1], [-1]), x)
    assert torch.equal(shifted(Feature(0, 0, 0), x, [0, 1], [5]), x)


def test_the_given_batch_does_not_change():
    x = images(2)
    before = x.clone()
    shifted(ALL, x, [0, 1], [0])
    assert torch.equal(x, before)


def test_noise_is_normal_and_its_strength_uniform():
    x = torch.zeros(400, 1, 999)  # no image: noise needs none; an odd number of places
    noise = shifted(Feature(rotation=0, noise=2.0), x, torch.arange(400), torch.arange(400)).squeeze(1)
    strength = noise.std(dim=1)
    assert strength.max() < 2.2
    assert np.quantile(strength, [0.25, 0.5, 0.75]) == pytest.approx([0.5, 1.0, 1.5], abs=0.2)
    scaled = (noise / strength[:, None])[strength > 0.1].flatten().double()
    moments = [scaled.mean(), (scaled**2).mean(), (scaled**3).mean(), (scaled**4).mean()]
    assert [float(m) for m in moments] == pytest.approx([0, 1, 0, 3], abs=0.03)
    half = scaled.reshape(-1, 999)[:, :499] * scaled.reshape(-1, 999)[:, 500:]
    assert abs(float(half.mean())) < 0.01  # the two normals of a pair are independent


def test_colour_is_a_factor_and_an_offset_a_channel():
    zeros, ones = torch.zeros(300, 3, 2, 2), torch.ones(300, 3, 2, 2)
    client = torch.arange(300)
    offset = shifted(Feature(0, 0, 0.4), zeros, client, client)
    factor = shifted(Feature(0, 0, 0.4), ones, client, client) - offset
    for actual, middle in ((offset, 0.0), (factor, 1.0)):
        assert torch.allclose(actual, actual[:, :, :1, :1].expand_as(actual), atol=1e-6)
        assert (actual - middle).abs().max() <= 0.4 + 1e-6
        assert float(actual.mean()) == pytest.approx(middle, abs=0.05)
        assert float(actual[:, :, 0, 0].std()) == pytest.approx(0.4 / 3**0.5, rel=0.1)


def test_angles_are_uniform():
    x = torch.linspace(-1, 1, 33).expand(500, 1, 33, 33)  # grows to the right by 1/16 a place
    client = torch.arange(500)
    turned = shifted(Feature(rotation=60.0), x, client, client)[:, 0]
    across, down = turned[:, 16, 17] - turned[:, 16, 15], turned[:, 17, 16] - turned[:, 15, 16]
    angles = torch.rad2deg(torch.atan2(-down, across))  # the slope turns with the image; rows count downwards
    assert float(angles.min()) < -55 and float(angles.max()) > 55 and float(angles.abs().max()) <= 60.01
    assert np.quantile(angles, [0.25, 0.5, 0.75]) == pytest.approx([-30, 0, 30], abs=6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_by_right_angles_equals_rot90(turns: int):
    x = images(2, height=7, width=7)
    actual = rotate(x, torch.full((2,), 90.0 * turns))
    assert torch.allclose(actual, torch.rot90(x, turns, (-2, -1)), atol=1e-5)


def test_rotation_does_not_distort_rectangles():
    x = torch.zeros(1, 1, 9, 21)
    x[0, 0, 4, 10:14] = 1  # a bar of four from the middle to the right
    actual = rotate(x, torch.tensor([90.0]))[0, 0]
    assert torch.allclose(actual[1:5, 10], torch.ones(4), atol=1e-5)  # four places up
    assert float(actual.sum()) == pytest.approx(4, abs=1e-4)


def test_rotation_repeats_the_edge():
    assert torch.allclose(rotate(torch.full((1, 1, 8, 8), -0.42), torch.tensor([45.0])), torch.tensor(-0.42))


@pytest.mark.parametrize("partition", [Feature(rotation=10), Feature(0, colour=0.1)])
def test_inputs_that_are_not_images_are_refused(partition: Feature):
    with pytest.raises(InputError, match=r"has shape \(64,\); write partition"):
        shifted(partition, torch.zeros(5, 64), torch.arange(5), [0])


def test_bytes_are_refused():
    with pytest.raises(InputError, match="torch.uint8"):
        shifted(ALL, torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5), [0])


def test_the_inner_partition_assigns_the_samples():
    labels = np.arange(500) % 10
    data, test = Labelled(500, labels, 10), Labelled(100, labels[:100], 10)
    inner = Dirichlet(0.1)
    a, b = (p.train(data, 10, generator(0)) for p in (inner, Feature(inner=inner)))
    assert (a.indices == b.indices).all() and (a.offsets == b.offsets).all()
    c, d = (p.test(test, data, a, generator(1)) for p in (inner, Feature(inner=inner)))
    assert (c.indices == d.indices).all() and (c.offsets == d.offsets).all()
    assert Feature(inner=Natural()).clients(Labelled(4, sites=np.array([0, 1, 1, 7]))) == 3
    assert Feature(inner=Iid()).clients(data) is None


def test_nested_shifts_are_applied_in_sequence():
    x, index = images(3), torch.arange(3)
    both = Feature(rotation=0, noise=0.5, inner=Feature(rotation=20))
    first = shifted(Feature(rotation=20), x, index, [1])
    assert torch.equal(shifted(both, x, index, [1]), shifted(Feature(0, 0.5), first, index, [1]))


def test_a_feature_shift_can_be_pickled():
    x, index, client = images(3), torch.arange(3), torch.tensor([1])
    transform = ALL.transform(0)
    expected = transform((x, index), index, client, "train", client)[0]
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert torch.equal(other((x, index), index, client, "train", client)[0], expected)


@pytest.mark.parametrize("split", ["train", "test"])
def test_planted_angles_go_round_the_clients(split: str):
    x = images(6, height=7, width=7)
    planted = Feature(angles=[0, 90, 180, 270])
    turned = shifted(planted, x, torch.arange(6), torch.arange(6), split)
    for client, turns in enumerate([0, 1, 2, 3, 0, 1]):
        assert torch.allclose(turned[client], torch.rot90(x[client], turns, (-2, -1)), atol=1e-5)
    assert torch.equal(shifted(planted, x, torch.arange(6), [-1]), x)
    stack = shifted(planted, x.reshape(2, 3, *x.shape[1:]), torch.arange(6).reshape(2, 3), torch.tensor([[5], [2]]))
    assert torch.equal(stack[0], shifted(planted, x[:3], torch.arange(3), [5]))


def test_a_draw_of_the_rotation_is_added_to_planted_angles():
    x = images(3, height=7, width=7)
    both, drawn = Feature(rotation=20, angles=[180]), Feature(rotation=20)
    expected = torch.rot90(shifted(drawn, x, torch.arange(3), [1]), 2, (-2, -1))
    assert torch.allclose(shifted(both, x, torch.arange(3), [1]), expected, atol=1e-4)
    assert torch.equal(shifted(Feature(), x, torch.arange(3), [1]), shifted(Feature(45.0), x, torch.arange(3), [1]))


def test_planted_angles_need_images():
    with pytest.raises(InputError, match=r"has shape \(64,\); write partition.angles=null partition.rotation=0"):
        shifted(Feature(angles=[90]), torch.zeros(5, 64), torch.arange(5), [0])
