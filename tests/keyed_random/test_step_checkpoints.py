"""Checkpointed parts of a step that make random draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.torch_patches.vmap_patches import VMAP


def step(x: torch.Tensor, weight: torch.Tensor, reentrant: bool | None, calls: list[int]) -> torch.Tensor:
    """Two parts with a draw before, in and after each; `reentrant`: None is not checkpointed, else `use_reentrant`."""

    def part(h: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return F.dropout((h * weight).tanh(), 0.5) * torch.rand_like(h)

    h = F.dropout(x, 0.2)
    for _ in range(2):
        h = part(h) if reentrant is None else checkpoint(part, h, use_reentrant=reentrant)
        h = F.dropout(h, 0.2)
    return h.sum()


def gradients(reentrant: bool | None, inside: bool = False, **options) -> tuple[torch.Tensor, int]:
    torch.manual_seed(0)
    calls: list[int] = []
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    weight = torch.ones(50, dtype=torch.float64, requires_grad=True)
    with RandomMode(3, 1, keyed=True, seed=False, **options) as draws:
        loss = step(x, weight, reentrant, calls)
        count = draws.count
        if inside:  # as a manual optimisation does
            loss.backward()
        assert draws.count == count
    if not inside:
        loss.backward()
    return torch.cat([x.grad, weight.grad]), len(calls)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_checkpointed_part_repeats_its_draws_in_backward(reentrant, inside):
    (expected, calls_plain), (result, calls_checkpointed) = gradients(None), gradients(reentrant, inside)
    assert torch.equal(result, expected)
    assert (calls_plain, calls_checkpointed) == (2, 4)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("patch", [VMAP, DOUBLE_BACKWARD], ids=["vmap", "double backward"])
def test_under_a_patch_a_checkpointed_part_runs_once(reentrant, patch):
    result, calls = gradients(reentrant, patches=(patch,))
    assert torch.equal(result, gradients(None)[0]) and calls == 2


def test_dropout_of_recurrent_layers_is_repeated_in_a_checkpointed_part():
    layer, x = nn.GRU(4, 4, 2, dropout=0.5), torch.randn(5, 3, 4)

    def gradient(checkpointed: bool) -> torch.Tensor:
        layer.zero_grad()
        with RandomMode(3, 1, keyed=True, seed=False):
            out = checkpoint(layer, x, use_reentrant=False)[0] if checkpointed else layer(x)[0]
        out.sum().backward()
        return layer.weight_ih_l0.grad.clone()

    assert torch.equal(gradient(True), gradient(False))
