"""The numbers behind every keyed draw: a function of key, step, draw and place, never of a generator's state."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlit.randomness import keyed_bits

Shape = Sequence[int]
Device = torch.device | str | None

_DIGITS = {torch.float64: 32, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}  # that never round up to 1


class CounterRng:
    """The draws of one step, one after the other: `count` of them so far.

    `key` and `step` are ints or 0-dim int64 tensors. Under vmap the tensors hold one value a row; each row then gets
    the same bits that it gets alone.
    """

    def __init__(self, key: int | Tensor, step: int | Tensor):
        self.key, self.step, self.count = key, step, 0

    def bits(self, shape: Shape, device: Device = None) -> Tensor:
        """32 random bits a place (int64); the next draw of this step, as everything below."""
        self.count += 1
        place = torch.arange(math.prod(shape), device=device).view(tuple(shape))
        word = self.key + (self.step << 20) + (self.count << 40)  # apart for 2**20 steps and as many draws in each
        word = word.to(place.device) if isinstance(word, Tensor) else (word + 2**63) % 2**64 - 2**63  # wraps alike
        return keyed_bits(word, place)

    def keep(self, shape: Shape, p: float, device: Device = None) -> Tensor:
        """Bools, each False with probability `p`."""
        return self.bits(shape, device) >= round(p * 2**32)

    def uniform(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """In [0, 1) in every floating dtype."""
        dtype = dtype or torch.get_default_dtype()
        digits = _DIGITS[dtype]
        return (self.bits(shape, device) >> (32 - digits)).to(dtype) / 2**digits

    def inside(self, shape: Shape, device: Device = None) -> Tensor:
        """In (0, 1), both ends left out, in the widest dtype of the device: what a logarithm takes."""
        bits = self.bits(shape, device)
        return (bits.to(_widest(bits.device)) + 0.5) / 2**32

    def normal(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """Of mean 0 and variance 1 (Box and Muller 1958)."""
        radius = (-2 * self.inside(shape, device).log()).sqrt()
        value = radius * torch.cos(2 * math.pi * self.inside(shape, device))
        return value.to(dtype or torch.get_default_dtype())

    def exponential(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """Of mean 1."""
        return -self.inside(shape, device).log().to(dtype or torch.get_default_dtype())

    def integers(self, low: int, high: int, shape: Shape, device: Device = None) -> Tensor:
        """From `low` to `high` - 1 (int64)."""
        word = self.bits(shape, device)
        if high - low > 2**16:  # the remainder of 32 bits alone would be uneven
            word = (word << 31) | (self.bits(shape, device) >> 1)
        return word % (high - low) + low

    def happens(self, p: Tensor) -> Tensor:
        """Bools, each True with its own probability."""
        return self.inside(p.shape, p.device) < p

    @property
    def row(self) -> Tensor | int:
        """A zero; under vmap one a row, so that what it is added to becomes one a row."""
        return self.key * 0


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
