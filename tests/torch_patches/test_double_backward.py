"""Second derivatives of a step: the formulas against torch's own functions and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.torch_patches.vmap_patches import VMAP

MASK = torch.ones(4, 4, dtype=torch.bool).tril()


def heads(x):
    """(2, 4, 8) to (2, 2, 4, 4)."""
    return x.view(2, 4, 2, 4).transpose(1, 2)


STEPS = {
    "attention": lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1),
    "causal": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.3),
    "masked": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=MASK),
    "masked by addition": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=MASK.double()),
    "fully masked": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=MASK.tril(-1)),
    "heads": lambda x: F.scaled_dot_product_attention(heads(x), heads(x), heads(x)),
    "grouped heads": lambda x: F.scaled_dot_product_attention(
        heads(x), heads(x)[:, :1], heads(x)[:, 1:], enable_gqa=True
    ),
    "hardsigmoid": F.hardsigmoid,
    "hardsigmoid in place": lambda x: F.hardsigmoid(x * 2, inplace=True),
    "bag": lambda x: F.embedding_bag(torch.tensor([[0, 1], [3, 3]]), x[0], mode="mean"),
    "lstm": nn.LSTM(8, 3, 2, batch_first=True).double(),
    "gru": nn.GRU(8, 3, bidirectional=True).double(),
}


def value(name: str, x: torch.Tensor, twice: bool) -> torch.Tensor:
    with RandomMode(0, 0, keyed=False, seed=False, patches=(DOUBLE_BACKWARD,) if twice else ()):
        out = STEPS[name](x)
    return out[0] if isinstance(out, tuple) else out


@pytest.fixture
def x():
    return torch.randn(2, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.mark.parametrize("name", STEPS)
def test_values_and_gradients_are_torchs(name, x):
    result, expected = value(name, x, True), value(name, x, False)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    (a,), (b,) = (torch.autograd.grad(v.sin().sum(), x) for v in (result, expected))
    torchs_sixth = 1e-8 if "hardsigmoid" in name else 1e-12  # torch's gradient has 1/6 in single precision
    torch.testing.assert_close(a, b, rtol=0, atol=torchs_sixth)


@pytest.mark.parametrize("name", STEPS)
def test_second_derivatives_are_those_of_finite_differences(name, x):
    torch.manual_seed(0)
    assert torch.autograd.gradgradcheck(lambda t: value(name, t, True), (x,), fast_mode=True)


def test_each_evaluation_of_a_step_repeats_its_draws(x):
    def loss(t):
        with RandomMode(3, 0, keyed=True, seed=False, patches=(DOUBLE_BACKWARD,)):
            return F.scaled_dot_product_attention(t, t, t, dropout_p=0.3)

    torch.manual_seed(0)
    assert torch.autograd.gradgradcheck(loss, (x,), fast_mode=True)


MODULES = {
    "encoder layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.2, activation=F.softplus, batch_first=True),
    "attention": lambda: Picked(nn.MultiheadAttention(8, 2, 0.2, batch_first=True), 3),
    "gru": lambda: Picked(nn.GRU(8, 4, 2, dropout=0.3, batch_first=True), 1),
    "batch norm": lambda: nn.BatchNorm1d(4, momentum=None),
}


class Picked(nn.Module):
    """The first output of a layer that takes its input several times."""

    def __init__(self, layer: nn.Module, times: int):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        return self.layer(*[x] * self.times)[0]


@pytest.mark.parametrize("name", MODULES)
def test_second_derivatives_of_a_stack_equal_those_one_by_one(name):
    torch.manual_seed(0)
    module = MODULES[name]().double()
    keys, x = torch.tensor([4, 9]), torch.randn(2, 3, 4, 8, dtype=torch.float64).requires_grad_()
    buffers = {n: torch.stack([b] * 2) for n, b in module.named_buffers()}

    def alone(row):
        with RandomMode(int(keys[row]), 0, keyed=True, seed=False, patches=(DOUBLE_BACKWARD,)):
            return functional_call(module, {n: b[row].clone() for n, b in buffers.items()}, (x[row],))

    def one_row(key, x, buffers):
        with RandomMode(key, 0, keyed=True, seed=False, patches=(VMAP, DOUBLE_BACKWARD)):
            return functional_call(module, buffers, (x,))

    def together():
        return vmap(one_row)(keys, x, {n: b.clone() for n, b in buffers.items()})

    def second(out):
        (first,) = torch.autograd.grad(out.sin().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    expected = second(torch.stack([alone(0), alone(1)]))
    torch.testing.assert_close(second(together()), expected, rtol=0, atol=1e-10)
