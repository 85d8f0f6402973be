"""The table of keyed draws: torch's shapes, dtypes and distributions; no global generator; same rows in every stack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Categorical, Exponential, Normal
from torch.nn import functional as F

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.keyed_random.random_ops import KEYED
from tests.torch_patches.rows import assert_same, one_by_one, stacked


class Of(nn.Module):
    """A function of a linear layer's output and of the layer's input."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear = function, nn.Linear(8, 8)

    def forward(self, x):
        return self.function(self.linear(x))


STEPS = {  # of x (batch 6, positions 4, features 8)
    "dropout": lambda x: F.dropout(x, 0.3),
    "dropout in place": lambda x: F.dropout(x + 0, 0.3, inplace=True),
    "torch.dropout": lambda x: torch.dropout(x, 0.3, True),
    "torch.dropout_": lambda x: torch.dropout_(x + 0, 0.3, True),
    "dropout1d": lambda x: F.dropout1d(x, 0.3),
    "dropout2d": lambda x: F.dropout2d(x[:, None], 0.3),
    "dropout3d": lambda x: F.dropout3d(x[:, :, None, None], 0.3),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, True),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "rrelu in place": lambda x: F.rrelu(x + 0, training=True, inplace=True),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.2, is_causal=True),
    "rand": lambda x: x * torch.rand(x.shape) + torch.rand_like(x) + torch.rand(6, 4, 8),
    "randn": lambda x: x * torch.randn(*x.shape) + torch.randn_like(x) + torch.randn(size=(8,)),
    "randint": lambda x: x * torch.randint(0, 5, x.shape) + torch.randint_like(x, 7) + torch.randint(3, (1,)),
    "randperm": lambda x: x[torch.randperm(len(x))],
    "bernoulli": lambda x: x * torch.bernoulli(x.sigmoid()) * x.bernoulli(0.5),
    "bernoulli_": lambda x: x * torch.empty(8).bernoulli_(0.4) * torch.empty_like(x).bernoulli_(x.detach().sigmoid()),
    "multinomial": lambda x: x[torch.multinomial(x[:, 0, 0].softmax(0), 3)],
    "normal": lambda x: torch.normal(x, 1.0) + torch.normal(0.0, 1.0, (8,)) + torch.normal(1.0, x.detach().exp()),
    "uniform_": lambda x: x * torch.empty(x.shape).uniform_(-1, 1) * torch.zeros(8).uniform_(to=3),
    "normal_": lambda x: x * torch.empty_like(x).normal_(1, 2) * x.new_empty(8).log_normal_(),
    "exponential_": lambda x: x * x.new_empty(6, 1, 1).exponential_(2.0),
    "cauchy_ and geometric_": lambda x: x * torch.empty(8).cauchy_() + torch.empty(8).geometric_(0.3),
    "random_": lambda x: x * torch.empty(8).random_(4) + torch.zeros(8, dtype=torch.int64).random_(3, 9),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x) + F.gumbel_softmax(x, hard=True),
    "stochastic_depth": lambda x: torchvision.ops.stochastic_depth(x, 0.5, "row"),
    "drop_block2d": lambda x: torchvision.ops.drop_block2d(x[:, None], 0.2, 3),
    "drop_block3d": lambda x: torchvision.ops.drop_block3d(x[None, None], 0.2, 3),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(x[:, None], 2, output_size=(3, 5)),
    "distributions": lambda x: Normal(x, x.exp()).rsample() + Exponential(x.exp()).rsample(),
    "categories": lambda x: x + Categorical(logits=x).sample()[..., None],
}


class Attention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, 0.3, batch_first=True, **options)

    def forward(self, x):
        return self.attention(x, x, x)[0] + self.attention(x, x, x, need_weights=False)[0]


MODULES = {
    **{name: lambda function=function: Of(function) for name, function in STEPS.items()},
    "multi-head attention": Attention,
    "multi-head attention, zeros": lambda: Attention(add_zero_attn=True),
    "multi-head attention, biases": lambda: Attention(add_bias_kv=True),
    "encoder layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.2, batch_first=True),
    "encoder layer, norm first": lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.2, "gelu", norm_first=True),
    "recurrent": lambda: nn.Sequential(nn.GRU(8, 8, 2, dropout=0.3), First()),
}


class First(nn.Module):
    def forward(self, outputs):
        return outputs[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_row_draws_the_same_alone_and_stacked_and_uses_no_global_generator(name, double_precision):
    module, inputs = MODULES[name](), torch.randn(3, 6, 4, 8)
    before = torch.get_rng_state()
    alone = one_by_one(module, inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(stacked(module, inputs), alone)
    assert not torch.allclose(alone.outputs[0], alone.outputs[1])


@pytest.mark.parametrize("name", [n for n in MODULES if n != "recurrent"])
def test_draws_repeat_with_the_same_key_and_step_and_differ_with_others(name):
    torch.manual_seed(0)
    module, x = MODULES[name](), torch.randn(6, 4, 8)

    def run(key, step=0):
        with RandomMode(key, step, keyed=True, seed=False):
            return module(x)

    first = run(4)
    assert torch.equal(first, run(4))
    assert not all(torch.equal(first, run(key)) for key in range(5, 10))
    assert not all(torch.equal(first, run(4, step)) for step in range(1, 6))


def drawn(function, key=11):
    with RandomMode(key, 2, keyed=True, seed=False):
        return function()


LAWS = {
    "rand": (lambda: torch.rand(20_000), stats.uniform.cdf),
    "rand_like": (lambda: torch.rand_like(torch.empty(20_000, dtype=torch.float64)), stats.uniform.cdf),
    "randn": (lambda: torch.randn(20_000), stats.norm.cdf),
    "uniform_": (lambda: torch.empty(20_000).uniform_(-2, 3), stats.uniform(-2, 5).cdf),
    "normal_": (lambda: torch.empty(20_000).normal_(1, 2), stats.norm(1, 2).cdf),
    "normal": (lambda: torch.normal(torch.full((20_000,), 3.0), 2.0), stats.norm(3, 2).cdf),
    "log_normal_": (lambda: torch.empty(20_000).log_normal_(0, 1), stats.lognorm(1).cdf),
    "exponential_": (lambda: torch.empty(20_000).exponential_(2), stats.expon(scale=0.5).cdf),
    "cauchy_": (lambda: torch.empty(20_000).cauchy_(1, 2), stats.cauchy(1, 2).cdf),
    "rrelu": (lambda: -F.rrelu(-torch.ones(20_000), 0.2, 0.6, training=True), stats.uniform(0.2, 0.4).cdf),
}


@pytest.mark.parametrize("name", LAWS)
def test_continuous_distributions(name):
    function, cdf = LAWS[name]
    assert stats.kstest(drawn(function).numpy(), cdf).pvalue > 1e-4


def frequencies(classes: Tensor, share: list[float]) -> float:
    counts = torch.bincount(classes.flatten(), minlength=len(share)).numpy()
    return stats.chisquare(counts, np.array(share) / sum(share) * counts.sum()).pvalue


def test_discrete_distributions():
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert frequencies(drawn(lambda: torch.multinomial(p * 7, 20_000, replacement=True)), p.tolist()) > 1e-4
    assert frequencies(drawn(lambda: torch.multinomial(p.expand(20_000, 4), 1)), p.tolist()) > 1e-4
    assert frequencies(drawn(lambda: torch.randint(2, 6, (20_000,)) - 2), [0.25] * 4) > 1e-4
    assert frequencies(drawn(lambda: torch.bernoulli(torch.full((20_000,), 0.3)).long()), [0.7, 0.3]) > 1e-4
    assert frequencies(drawn(lambda: torch.empty(20_000).bernoulli_(0.3).long()), [0.7, 0.3]) > 1e-4
    geometric = drawn(lambda: torch.empty(20_000).geometric_(0.5)).clamp_max(4).long() - 1
    assert frequencies(geometric, [0.5, 0.25, 0.125, 0.125]) > 1e-4
    assert frequencies(torch.stack([drawn(lambda: torch.randperm(4), key)[0] for key in range(400)]), [0.25] * 4) > 1e-4


def test_multinomial_repeats_no_class_without_replacement_and_draws_none_of_probability_zero():
    p = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0]).expand(500, 5)
    assert torch.equal(drawn(lambda: torch.multinomial(p, 3)).sort(1).values, torch.tensor([1, 2, 4]).expand(500, 3))
    assert set(drawn(lambda: torch.multinomial(p, 50, True)).unique().tolist()) == {1, 2, 4}


SHAPES = {
    "rand": lambda: torch.rand((2, 3), dtype=torch.float64),
    "rand of nothing": lambda: torch.rand(()),
    "rand, no elements": lambda: torch.rand(0, 4),
    "rand, half": lambda: torch.rand(3, dtype=torch.bfloat16),
    "randn, leaf": lambda: torch.randn(3, requires_grad=True),
    "rand_like": lambda: torch.rand_like(torch.ones(2, 3), dtype=torch.float16),
    "randint": lambda: torch.randint(high=9, size=(2, 2), dtype=torch.int32),
    "randint by place": lambda: torch.randint(-4, 9, (5,), dtype=torch.float32),
    "randint_like": lambda: torch.randint_like(torch.ones(4), 2, 5),
    "randperm": lambda: torch.randperm(7, dtype=torch.int32),
    "bernoulli": lambda: torch.bernoulli(torch.ones(3, dtype=torch.float64)),
    "normal": lambda: torch.normal(torch.zeros(3, 1), torch.ones(4)),
    "normal of numbers": lambda: torch.normal(0.0, 1.0, size=(2,)),
    "multinomial": lambda: torch.multinomial(torch.ones(2, 5), 3),
    "multinomial with replacement": lambda: torch.ones(5).multinomial(9, True),
    "bernoulli_ of bools": lambda: torch.zeros(4, dtype=torch.bool).bernoulli_(0.5),
    "random_": lambda: torch.zeros(4, dtype=torch.uint8).random_(0, 255),
    "dropout": lambda: F.dropout(torch.ones(3, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_dtypes_and_leaves_are_torchs(name):
    result, expected = drawn(SHAPES[name]), SHAPES[name]()
    assert (result.shape, result.dtype, result.device) == (expected.shape, expected.dtype, expected.device)
    assert (result.requires_grad, result.is_leaf) == (expected.requires_grad, expected.is_leaf)


def test_in_place_functions_write_into_their_tensor():
    for function in (
        lambda x: F.dropout(x, 0.5, inplace=True),
        lambda x: F.alpha_dropout(x, 0.5, True, True),
        lambda x: F.rrelu(x, training=True, inplace=True),
        lambda x: torch.dropout_(x, 0.5, True),
        lambda x: x.uniform_(2, 3),
    ):
        x = -torch.ones(100)
        assert drawn(lambda f=function, x=x: f(x)) is x and not torch.equal(x, -torch.ones(100))


def test_a_draw_with_a_generator_of_the_users_is_left_to_torch():
    def with_own_generator():
        generator = torch.Generator().manual_seed(3)
        return torch.cat(
            [
                torch.rand(4, generator=generator),
                torch.empty(4).normal_(generator=generator),
                torch.randperm(4, generator=generator),
                torch.multinomial(torch.ones(4), 2, generator=generator),
            ]
        )

    assert torch.equal(drawn(with_own_generator), with_own_generator())
    with RandomMode(1, 0, keyed=True, seed=False) as draws:
        with_own_generator()
        assert draws.count == 0


def test_alpha_dropout_keeps_mean_and_variance():
    x = F.selu(torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 1.0)
    x = (x - x.mean()) / x.std()
    out = drawn(lambda: F.alpha_dropout(x, 0.3, True))
    assert abs(float(out.mean())) < 0.02 and abs(float(out.std()) - 1) < 0.02
    plain = F.alpha_dropout(x, 0.3, True)  # torch's own floor and scale, at other positions
    assert out.min() == pytest.approx(float(plain.min()), rel=1e-5)
    assert out.max() == pytest.approx(float(plain.max()), rel=0.3)


@pytest.mark.parametrize("function", [F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout])
def test_whole_channels_are_dropped_where_torch_drops_whole_channels(function):
    for shape in {F.dropout1d: [(16, 5), (4, 16, 5)], F.dropout3d: [(16, 2, 2, 2), (3, 16, 2, 2, 2)]}.get(
        function, [(4, 16, 3, 5)]
    ):
        result, expected = (
            drawn(lambda s=shape: function(torch.ones(s), 0.5, True)),
            function(torch.ones(shape), 0.5, True),
        )
        axes = tuple(range(-{F.dropout1d: 1, F.dropout3d: 3}.get(function, 2), 0))
        for out in (result, expected):
            assert torch.equal(out.amin(axes), out.amax(axes))
        torch.testing.assert_close(result.unique(), expected.unique())


def test_a_transformer_without_dropout_equals_torchs_also_in_evaluation_mode(double_precision):
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2)
    x, padded = torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
    padded[0, 3:] = True
    expected = layer(x, src_key_padding_mask=padded)
    torch.testing.assert_close(drawn(lambda: layer(x, src_key_padding_mask=padded)), expected, rtol=0, atol=1e-12)
    layer.eval()
    with torch.no_grad():  # torch's fast path would zero the padded positions
        for keyed in (True, False):
            with RandomMode(0, 0, keyed=keyed, seed=False):
                out = layer(x, src_key_padding_mask=padded)
            torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    assert torch.backends.mha.get_fastpath_enabled()


def test_dropout_inside_attention_has_the_mean_of_no_dropout(double_precision):
    attention, x = nn.MultiheadAttention(8, 2, 0.4, batch_first=True), torch.randn(1, 5, 8)
    for needs in (True, False):  # the two branches of torch's function
        outs = torch.stack(
            [drawn(lambda n=needs: attention(x, x, x, need_weights=n)[0], key).detach() for key in range(600)]
        )
        expected = attention.eval()(x, x, x)[0].detach()
        attention.train()
        assert outs.std(0).min() > 1e-3
        assert ((outs.mean(0) - expected).abs() / (outs.std(0) / 600**0.5)).max() < 5


def test_every_entry_of_the_table_is_a_function_of_torchs():
    assert all(callable(function) and callable(keyed) for function, keyed in KEYED.items())
