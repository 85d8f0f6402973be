"""Checkpointed parts of a step, with draws in them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.torch_patches.vmap_patches import VMAP


def step(x: torch.Tensor, weight: torch.Tensor, how: bool | None, calls: list[int]) -> torch.Tensor:
    """Two parts with a draw before, in and after each; `how`: None is not checkpointed, else `use_reentrant`."""

    def part(h: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return F.dropout((h * weight).tanh(), 0.5) * torch.rand_like(h)

    h = F.dropout(x, 0.2)
    for _ in range(2):
        h = part(h) if how is None else checkpoint(part, h, use_reentrant=how)
        h = F.dropout(h, 0.2)
    return h.sum()


def gradients(how: bool | None, inside: bool = False, **options) -> tuple[torch.Tensor, int]:
    torch.manual_seed(0)
    calls: list[int] = []
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    weight = torch.ones(50, dtype=torch.float64, requires_grad=True)
    with RandomMode(3, 1, keyed=True, seed=False, **options) as draws:
        loss = step(x, weight, how, calls)
        count = draws.count
        if inside:  # as a manual optimisation does
            loss.backward()
        assert draws.count == count
    if not inside:
        loss.backward()
    return torch.cat([x.grad, weight.grad]), len(calls)


@pytest.mark.parametrize("how", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_part_that_runs_again_draws_what_it_drew(how, inside):
    (wanted, once), (found, again) = gradients(None), gradients(how, inside)
    assert torch.equal(found, wanted)
    assert (once, again) == (2, 4)


@pytest.mark.parametrize("how", [True, False])
@pytest.mark.parametrize("options", [{"patches": (VMAP,)}, {"patches": (DOUBLE_BACKWARD,)}], ids=str)
def test_under_vmap_or_double_backward_no_part_runs_again(how, options):
    found, calls = gradients(how, **options)
    assert torch.equal(found, gradients(None)[0]) and calls == 2


def test_recurrent_layers_inside_are_repeated_too():
    layer, x = nn.GRU(4, 4, 2, dropout=0.5), torch.randn(5, 3, 4)

    def gradient(checkpointed: bool) -> torch.Tensor:
        layer.zero_grad()
        with RandomMode(3, 1, keyed=True, seed=False):
            out = checkpoint(layer, x, use_reentrant=False)[0] if checkpointed else layer(x)[0]
        out.sum().backward()
        return layer.weight_ih_l0.grad.clone()

    assert torch.equal(gradient(True), gradient(False))
