"""The counter-based generator against the distributions that it draws from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import vmap

from fedlit.keyed_random.counter_rng import CounterRng

MANY = (200, 500)
LAWS = {
    "uniform": (lambda n, dtype: n.uniform(MANY, dtype), stats.uniform.cdf),
    "normal": (lambda n, dtype: n.normal(MANY, dtype), stats.norm.cdf),
    "exponential": (lambda n, dtype: n.exponential(MANY, dtype), stats.expon.cdf),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("key", [0, 1, 2**63 - 1])
def test_distributions_by_the_kolmogorov_smirnov_test(law, dtype, key):
    draw, cdf = LAWS[law]
    values = draw(CounterRng(key, 3), dtype)
    assert values.dtype == dtype and values.shape == MANY
    assert stats.kstest(values.numpy().ravel(), cdf).pvalue > 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_extreme_bits_give_no_uniform_of_one_and_no_infinite_number(dtype, monkeypatch):
    monkeypatch.setattr(
        "fedlit.keyed_random.counter_rng.keyed_bits", lambda key, place: torch.full_like(place, 2**32 - 1)
    )
    assert float(CounterRng(0, 0).uniform((1,), dtype)) < 1
    assert math.isfinite(float(CounterRng(0, 0).exponential((1,), dtype)))
    monkeypatch.setattr("fedlit.keyed_random.counter_rng.keyed_bits", lambda key, place: torch.zeros_like(place))
    assert float(CounterRng(0, 0).uniform((1,), dtype)) == 0
    assert math.isfinite(float(CounterRng(0, 0).normal((1,), torch.float64)))


@pytest.mark.parametrize(("low", "high"), [(0, 7), (-3, 4), (0, 10**6)])
def test_integers_are_uniform(low, high):
    values = CounterRng(5, 0).integers(low, high, MANY).numpy().ravel()
    assert values.min() >= low and values.max() < high
    cells = np.histogram(values, bins=np.linspace(low, high, 8))[0] if high - low > 7 else np.bincount(values - low)
    assert stats.chisquare(cells).pvalue > 1e-4


def test_draws_keys_and_steps_are_independent():
    def draws(key, step):
        rng = CounterRng(key, step)
        return [rng.normal(MANY).ravel() for _ in range(2)]

    columns = [*draws(0, 0), *draws(0, 1), *draws(1, 0), *draws(2**62, 0)]
    correlation = torch.corrcoef(torch.stack(columns)) - torch.eye(len(columns))
    assert correlation.abs().max() < 5 / math.sqrt(math.prod(MANY))


def test_neighbouring_positions_are_independent():
    values = CounterRng(9, 9).normal((100_001,))
    assert abs(float(torch.corrcoef(torch.stack([values[1:], values[:-1]]))[0, 1])) < 5 / math.sqrt(1e5)


@pytest.mark.parametrize("method", ["uniform", "normal", "exponential"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_under_vmap_has_the_bits_it_has_alone(method, dtype):
    keys, steps = torch.tensor([3, 2**63 - 1, 0]), torch.tensor([0, 7, 2**20 - 1])
    together = vmap(lambda key, step: getattr(CounterRng(key, step), method)((13, 7), dtype))(keys, steps)
    for row, key, step in zip(together, keys.tolist(), steps.tolist(), strict=True):
        assert torch.equal(row, getattr(CounterRng(key, step), method)((13, 7), dtype))
