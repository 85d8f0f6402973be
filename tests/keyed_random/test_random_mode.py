"""Keyed dropout."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedlit.global_generators import isolated_generators
from fedlit.keyed_random.random_mode import Patch, RandomMode


def dropped(layer: nn.Module, x: torch.Tensor, key: int = 7, step: int = 0) -> torch.Tensor:
    with RandomMode(key, step, keyed=True, seed=False):
        return layer(x)


def test_masks_are_a_function_of_key_step_and_position():
    x, layer = torch.ones(50, 8), nn.Dropout(0.5)
    first = dropped(layer, x)
    torch.manual_seed(99)
    assert torch.equal(first, dropped(layer, x))
    assert not torch.equal(first, dropped(layer, x, key=8))
    assert not torch.equal(first, dropped(layer, x, step=1))
    with RandomMode(7, 0, keyed=True, seed=False):
        first_draw, second_draw = layer(x), layer(x)
    assert torch.equal(first_draw, first) and not torch.equal(first_draw, second_draw)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_dropped_share_is_p_and_the_scale_is_torchs(p):
    out = dropped(nn.Dropout(p), torch.ones(200, 200))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
    assert abs(float((out == 0).double().mean()) - p) < 5 * (p * (1 - p) / 40_000) ** 0.5


def test_dropout_with_p_of_zero_or_one_and_in_evaluation_mode():
    x = torch.ones(4, 4)
    assert torch.equal(dropped(nn.Dropout(0.0), x), x)
    assert not dropped(nn.Dropout(1.0), x).any()
    assert torch.equal(dropped(nn.Dropout(0.5).eval(), x), x)


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [(nn.Dropout1d(0.5), (4, 6, 5), (2,)), (nn.Dropout2d(0.5), (4, 6, 3, 5), (2, 3))],
)
def test_channels_are_dropped_whole(layer, shape, axes):
    out = dropped(layer, torch.ones(shape))
    assert torch.equal(out.amin(axes), out.amax(axes))
    assert {0.0, 2.0} == set(out.unique().tolist())


def test_gradients_are_dropped_with_their_values():
    x = torch.ones(20, requires_grad=True)
    with RandomMode(1, 0, keyed=True, seed=False):
        out = F.dropout(x, 0.5)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_other_draws_are_seeded_by_key_and_step():
    def drawn(step: int):
        with isolated_generators(0), RandomMode(3, step, keyed=False, seed=True):
            return torch.rand(1).item(), np.random.random(), random.random()

    assert drawn(0) == drawn(0) != drawn(1)


@pytest.mark.parametrize("last", [lambda rng, x: NotImplemented, lambda rng, x: x + 2])
def test_where_a_patch_replaces_nothing_the_one_before_does(last):
    first = Patch({torch.relu: lambda rng, x: x + 1})
    with RandomMode(7, 0, keyed=True, seed=False, patches=(first, Patch({torch.relu: last}))):
        result = torch.relu(torch.zeros(1))
    assert result.item() == (1 if last(None, 0) is NotImplemented else 2)
