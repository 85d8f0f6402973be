"""The table from torch's random functions to their keyed versions, for every trainer, under vmap and outside.

A keyed version takes a `CounterRng` and then the arguments of torch's function. Where it returns `NotImplemented`,
torch's own function is called: for a draw with a `generator` of the user's, and for forms that training does not use.
Poisson, binomial, gamma and `random_()` without bounds are not in the table: they draw from the global generator.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.attention import keyed_attention
from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.dropouts import DROPOUTS
from fedlit.keyed_random.recurrent import KEYED_RECURRENT

Keyed = Callable[..., Any]

_NOT_KEYED = ("generator", "out", "names")  # a draw with one of these arguments is left to torch
_IGNORED = ("layout", "pin_memory", "memory_format", *_NOT_KEYED)  # arguments that do not change the numbers


def _unless_left_to_torch(keyed: Keyed) -> Keyed:
    """`keyed`, but NotImplemented for a draw with a generator of the user's or an output tensor."""

    @functools.wraps(keyed)
    def call(rng: CounterRng, *args: Any, **kwargs: Any) -> Any:
        if any(kwargs.get(name) is not None for name in _NOT_KEYED) or any(
            isinstance(a, torch.Generator) for a in args
        ):
            return NotImplemented
        grad = kwargs.pop("requires_grad", False)
        out = keyed(rng, *args, **{k: v for k, v in kwargs.items() if k not in _IGNORED})
        return out.requires_grad_() if grad else out

    return call


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape in `torch.rand(2, 3)` or `torch.rand((2, 3))`."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)


# --- new tensors -----------------------------------------------------------------------------------------------------
def _rand(rng: CounterRng, *args: Any, size: Any = None, dtype: Any = None, device: Any = None) -> Any:
    return rng.uniform(_shape(args if size is None else (size,)), dtype, device)


def _randn(rng: CounterRng, *args: Any, size: Any = None, dtype: Any = None, device: Any = None) -> Any:
    return rng.normal(_shape(args if size is None else (size,)), dtype, device)


def _rand_like(rng: CounterRng, input: Tensor, dtype: Any = None, device: Any = None) -> Tensor:
    return rng.uniform(input.shape, dtype or input.dtype, device or input.device)


def _randn_like(rng: CounterRng, input: Tensor, dtype: Any = None, device: Any = None) -> Tensor:
    return rng.normal(input.shape, dtype or input.dtype, device or input.device)


def _bounds(bounds: tuple[Any, ...], low: int | None, high: int | None) -> tuple[int, int]:
    """(low, high) from the arguments `(high)` or `(low, high)`, positional or by keyword."""
    if high is not None:
        return (bounds[0] if bounds else low or 0), high
    return (0, bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])


def _randint(
    rng: CounterRng,
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    *bounds, shape = args if size is None else (*args, size)
    return rng.integers(*_bounds(tuple(bounds), low, high), tuple(shape), device).to(dtype or torch.int64)


def _randint_like(
    rng: CounterRng,
    input: Tensor,
    *bounds: int,
    low: int | None = None,
    high: int | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    return rng.integers(*_bounds(bounds, low, high), input.shape, device or input.device).to(dtype or input.dtype)


def _randperm(rng: CounterRng, n: int, dtype: Any = None, device: Any = None) -> Tensor:
    return rng.integers(0, 2**62, (n,), device).argsort().to(dtype or torch.int64)


def _bernoulli(rng: CounterRng, input: Tensor, p: float | None = None) -> Tensor:
    probability = input.detach() if p is None else torch.full_like(input, p, dtype=torch.get_default_dtype())
    return rng.bernoulli(probability).to(input.dtype)


def _normal(
    rng: CounterRng, mean: Any = 0.0, std: Any = 1.0, size: Any = None, dtype: Any = None, device: Any = None
) -> Tensor:
    if size is not None:
        return mean + std * rng.normal(tuple(size), dtype, device)
    like = torch.as_tensor(mean + std) if torch.is_tensor(mean) or torch.is_tensor(std) else None
    if like is None:
        raise TypeError("torch.normal of two numbers takes a size")
    return mean + std * rng.normal(like.shape, like.dtype, like.device)


def _multinomial(rng: CounterRng, input: Tensor, num_samples: int, replacement: bool = False) -> Tensor:
    """(..., C) unnormalised probabilities p to (..., num_samples) classes.

    Without replacement an exponential race (Yellott 1977): with independent exponential E_c of mean 1, the classes in
    increasing order of E_c / p_c are drawn without replacement. With replacement the inverse distribution function.
    """
    if not replacement:
        arrival = rng.exponential(input.shape, input.dtype, input.device) / input.detach()
        return arrival.topk(num_samples, largest=False)[1]
    cumulated = input.detach().double().cumsum(-1)
    drawn = rng.open_uniform((*input.shape[:-1], num_samples), input.device) * cumulated[..., -1:]
    return (drawn.unsqueeze(-1) >= cumulated.unsqueeze(-2)).sum(-1)


# --- in place --------------------------------------------------------------------------------------------------------
def _uniform_(rng: CounterRng, self: Tensor, *bounds: float, **named: float) -> Tensor:
    low, high = named.get("from", bounds[0] if bounds else 0.0), named.get("to", bounds[1] if len(bounds) > 1 else 1.0)
    return self.copy_(low + (high - low) * rng.uniform(self.shape, self.dtype, self.device))


def _normal_(rng: CounterRng, self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return self.copy_(mean + std * rng.normal(self.shape, self.dtype, self.device))


def _log_normal_(rng: CounterRng, self: Tensor, mean: float = 1.0, std: float = 2.0) -> Tensor:
    return self.copy_((mean + std * rng.normal(self.shape, self.dtype, self.device)).exp())


def _exponential_(rng: CounterRng, self: Tensor, lambd: float = 1.0) -> Tensor:
    return self.copy_(rng.exponential(self.shape, self.dtype, self.device) / lambd)


def _cauchy_(rng: CounterRng, self: Tensor, median: float = 0.0, sigma: float = 1.0) -> Tensor:
    """median + sigma tan(pi (u - 1/2)) with uniform u."""
    return self.copy_(median + sigma * torch.tan(math.pi * (rng.open_uniform(self.shape, self.device) - 0.5)))


def _geometric_(rng: CounterRng, self: Tensor, p: float) -> Tensor:
    """ceil(ln u / ln(1 - p)) with uniform u."""
    return self.copy_((rng.open_uniform(self.shape, self.device).log() / math.log1p(-p)).ceil())


def _random_(rng: CounterRng, self: Tensor, *bounds: int, **named: int) -> Any:
    low, high = named.get("from"), named.get("to")
    if not bounds and high is None:
        return NotImplemented
    return self.copy_(rng.integers(*_bounds(bounds, low, high), self.shape, self.device))


def _bernoulli_(rng: CounterRng, self: Tensor, p: Any = 0.5) -> Tensor:
    p = p.detach().expand(self.shape) if torch.is_tensor(p) else p
    drawn = rng.bernoulli(p) if torch.is_tensor(p) else ~rng.keep(self.shape, p, self.device)
    return self.copy_(drawn)


_DRAWS: dict[Any, Keyed] = {
    torch.rand: _rand,
    torch.randn: _randn,
    torch.rand_like: _rand_like,
    torch.randn_like: _randn_like,
    torch.randint: _randint,
    torch.randint_like: _randint_like,
    torch.randperm: _randperm,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    torch.normal: _normal,
    torch.multinomial: _multinomial,
    Tensor.multinomial: _multinomial,
    Tensor.uniform_: _uniform_,
    Tensor.normal_: _normal_,
    Tensor.log_normal_: _log_normal_,
    Tensor.exponential_: _exponential_,
    Tensor.cauchy_: _cauchy_,
    Tensor.geometric_: _geometric_,
    Tensor.random_: _random_,
    Tensor.bernoulli_: _bernoulli_,
}

KEYED: dict[Any, Keyed] = {
    **DROPOUTS,
    **KEYED_RECURRENT,
    F.scaled_dot_product_attention: keyed_attention,
    **{function: _unless_left_to_torch(keyed) for function, keyed in _DRAWS.items()},
}
