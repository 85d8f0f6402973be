"""One table from a torch function that draws to its keyed version: used on every trainer, under vmap and outside.

A keyed version takes the `Noise` and then what torch's function takes. It may answer `NotImplemented`: torch's own is
called then. That is the answer for a draw with a `generator` of the user's, and for forms that nobody trains with.
Poisson, binomial, gamma and `random_()` without bounds are not here: they draw from the global generator.
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

_NOT_HERE = ("generator", "out", "names")  # arguments that make it torch's own draw
_NO_MATTER = ("layout", "pin_memory", "memory_format", *_NOT_HERE)


def _unless_own(keyed: Keyed) -> Keyed:
    """Leaves a draw alone that has a generator of its own, or that writes somewhere."""

    @functools.wraps(keyed)
    def call(rng: CounterRng, *args: Any, **kwargs: Any) -> Any:
        if any(kwargs.get(name) is not None for name in _NOT_HERE) or any(isinstance(a, torch.Generator) for a in args):
            return NotImplemented
        grad = kwargs.pop("requires_grad", False)
        out = keyed(rng, *args, **{k: v for k, v in kwargs.items() if k not in _NO_MATTER})
        return out.requires_grad_() if grad else out

    return call


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """`torch.rand(2, 3)` and `torch.rand((2, 3))`."""
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
    """`(high)` or `(low, high)`, by place or by name."""
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
    chance = input.detach() if p is None else torch.full_like(input, p, dtype=torch.get_default_dtype())
    return rng.happens(chance).to(input.dtype)


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
    """(..., C) unnormalised probabilities to (..., num_samples) classes."""
    if not replacement:  # an exponential race: the first to arrive
        return (rng.exponential(input.shape, input.dtype, input.device) / input.detach()).topk(
            num_samples, largest=False
        )[1]
    cumulated = input.detach().double().cumsum(-1)
    drawn = rng.inside((*input.shape[:-1], num_samples), input.device) * cumulated[..., -1:]
    return (drawn.unsqueeze(-1) >= cumulated.unsqueeze(-2)).sum(-1)


# --- in place --------------------------------------------------------------------------------------------------------
def _uniform_(rng: CounterRng, self: Tensor, *ends: float, **named: float) -> Tensor:
    low, high = named.get("from", ends[0] if ends else 0.0), named.get("to", ends[1] if len(ends) > 1 else 1.0)
    return self.copy_(low + (high - low) * rng.uniform(self.shape, self.dtype, self.device))


def _normal_(rng: CounterRng, self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return self.copy_(mean + std * rng.normal(self.shape, self.dtype, self.device))


def _log_normal_(rng: CounterRng, self: Tensor, mean: float = 1.0, std: float = 2.0) -> Tensor:
    return self.copy_((mean + std * rng.normal(self.shape, self.dtype, self.device)).exp())


def _exponential_(rng: CounterRng, self: Tensor, lambd: float = 1.0) -> Tensor:
    return self.copy_(rng.exponential(self.shape, self.dtype, self.device) / lambd)


def _cauchy_(rng: CounterRng, self: Tensor, median: float = 0.0, sigma: float = 1.0) -> Tensor:
    return self.copy_(median + sigma * torch.tan(math.pi * (rng.inside(self.shape, self.device) - 0.5)))


def _geometric_(rng: CounterRng, self: Tensor, p: float) -> Tensor:
    return self.copy_((rng.inside(self.shape, self.device).log() / math.log1p(-p)).ceil())


def _random_(rng: CounterRng, self: Tensor, *bounds: int, **named: int) -> Any:
    low, high = named.get("from"), named.get("to")
    if not bounds and high is None:
        return NotImplemented
    return self.copy_(rng.integers(*_bounds(bounds, low, high), self.shape, self.device))


def _bernoulli_(rng: CounterRng, self: Tensor, p: Any = 0.5) -> Tensor:
    p = p.detach().expand(self.shape) if torch.is_tensor(p) else p
    happens = rng.happens(p) if torch.is_tensor(p) else ~rng.keep(self.shape, p, self.device)
    return self.copy_(happens)


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
    **{function: _unless_own(keyed) for function, keyed in _DRAWS.items()},
}
