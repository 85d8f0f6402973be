"""Precision, types and sizes: results do not depend on blocks of columns, and no digit is lost near large weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlit.messages.reductions import Krum, Median, MultiKrum, Nnm, Reduction, TrimmedMean, columns
from fedlit.messages.reductions.distances import (
    Gram,
    central_row,
    gram,
    inner_products,
    squared_distances,
    squared_norms,
)
from tests.messages.reductions.robust_rules import MAKERS, made
from tests.messages.reductions.rounds import message, reduce, vector


def exact(x: torch.Tensor) -> np.ndarray:
    rows = x.numpy().astype(np.longdouble)
    return ((rows[:, None] - rows[None, :]) ** 2).sum(-1).astype(float)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    base=st.sampled_from([0.0, 50.0, 1e6]),
    far=st.sampled_from([1.0, 1e8, 9e9, 1e30]),
    place=st.sampled_from([slice(0, 1), slice(0, 3), slice(2, 4), slice(6, 7), slice(0, 5)]),
)
def test_distances_are_exact_wherever_large_messages_stand(seed: int, base: float, far: float, place: slice) -> None:
    """Also where most messages are far away, and where updates of 0.01 are added to weights of 50."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(base + 0.01 * rng.normal(size=(7, 40))).float()
    x[place] *= far
    parts = [x[:, :15].contiguous(), x[:, 15:].contiguous()]
    expected = exact(x)
    np.testing.assert_allclose(squared_distances(parts), expected, rtol=1e-8, atol=0)
    np.testing.assert_allclose(squared_norms(parts), (x.double() ** 2).sum(1).numpy(), rtol=1e-12)


def test_updates_near_large_weights_are_told_apart() -> None:
    x = 50 + 0.01 * torch.tensor([[0.0], [1.0], [2.1], [3.3], [100.0]]).expand(5, 1000)
    assert reduce(Krum(1), x.contiguous()).excluded == [0, 2, 3, 4]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [1e8, 9e9, 1e30, torch.finfo(torch.float32).max])
def test_huge_numbers_in_32_bits_give_finite_ones(name: str, size: float) -> None:
    x = torch.linspace(-1, 1, 55).reshape(11, 5)
    x[[0, 9]] = torch.tensor([size, -size])[:, None]
    reduced = reduce(made(name), message(x, x[:, :2], steps=x[:, :1])).message
    values = [reduced["delta"].weights, reduced["delta"].statistics, reduced["steps"]]
    assert all(bool(value.isfinite().all()) for value in values)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [1e200, torch.finfo(torch.float64).max])
def test_distances_that_overflow_in_64_bits_count_as_infinite(name: str, size: float) -> None:
    x = torch.linspace(-1, 1, 55, dtype=torch.float64).reshape(11, 5)
    x[[0, 9]] = torch.tensor([size, -size], dtype=torch.float64)[:, None]
    weights = reduce(made(name), x).message["delta"].weights
    assert bool(weights.isfinite().all())
    if name not in ("foolsgold", "mean after mixing"):
        assert float(weights.abs().max()) <= 1.001


@pytest.mark.parametrize(
    "rule", [MultiKrum(0), TrimmedMean(0), Nnm(0, MultiKrum(0))], ids=lambda rule: type(rule).__name__
)
@pytest.mark.parametrize("n", [3, 9, 11, 17])
def test_rounding_alone_makes_nothing_infinite(rule: Reduction, n: int) -> None:
    largest = torch.finfo(torch.float64).max
    result = vector(rule, torch.full((n, 2), largest, dtype=torch.float64))
    assert result.isfinite().all() and float(result.min()) > 0.999 * largest


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_type_of_the_messages_is_kept(name: str, dtype: torch.dtype) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(11, 5))).to(dtype)
    short = reduce(made(name), message(x, x[:, :1])).message["delta"]
    assert short.weights.dtype == short.statistics.dtype == dtype
    wide = reduce(made(name), message(x.double(), x[:, :1].double())).message["delta"]
    assert torch.allclose(short.weights.double(), wide.weights, rtol=2 * torch.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize("rule", [Krum(1), Median(), TrimmedMean(1)])
def test_integers_become_floating_numbers_and_complex_ones_two_real_ones(rule: Reduction) -> None:
    x = torch.tensor([[0.0], [1.0], [2.1], [3.3], [100.0]])
    whole = torch.tensor([[3], [2], [8], [4], [5]])
    waves = torch.complex(x, -x)
    reduced = reduce(rule, message(x, count=whole, short=whole.to(torch.int8), flag=whole > 3, waves=waves)).message
    expected = {"Krum": 2.0, "Median": 4.0, "TrimmedMean": 4.0}[type(rule).__name__]
    assert reduced["count"].tolist() == reduced["short"].tolist() == [expected]
    assert reduced["count"].dtype == reduced["flag"].dtype == torch.get_default_dtype()
    value = float(reduced["delta"].weights)
    assert reduced["waves"].tolist() == [pytest.approx(complex(value, -value))]


def test_messages_of_several_axes_keep_them() -> None:
    x = torch.randn(5, 2, 3)
    wire = {"delta.weights": x, "delta.statistics": torch.zeros(5, 2, 0)}
    assert torch.equal(vector(Median(), wire), x.median(0).values)
    assert any(torch.equal(vector(Krum(1), wire), row) for row in x)


@pytest.mark.parametrize("name", MAKERS)
def test_blocks_of_columns_change_nothing_but_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(11, 23)))
    at_once = reduce(made(name), x)
    monkeypatch.setattr(columns, "ON_CPU", 44)  # four columns of eleven messages
    in_blocks = reduce(made(name), x)
    assert torch.allclose(in_blocks.message["delta"].weights, at_once.message["delta"].weights, rtol=1e-9)
    assert in_blocks.excluded == at_once.excluded


def test_inner_products_run_over_parts_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ON_CPU", 12)
    x, r = torch.randn(4, 11, dtype=torch.float64), torch.randn(11, dtype=torch.float64)
    parts, reference = [x[:, :6], x[:, 6:]], [r[:6], r[6:]]
    np.testing.assert_allclose(inner_products(parts, reference), (x @ r).numpy())
    about: Gram = gram(parts, reference)
    np.testing.assert_allclose(about.products, ((x - r) @ (x - r).T).numpy())
    assert not about.too_far.any()


def test_the_central_row_is_none_of_a_far_minority() -> None:
    x = torch.randn(7, 30)
    x[:3] += 1e9
    assert float(central_row([x])[0].abs().max()) < 100
