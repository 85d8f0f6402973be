"""A counter-based random generator: each number is a function of key, step, draw and position in the tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlit.randomness import keyed_bits

Shape = Sequence[int]
Device = torch.device | str | None

# random bits of a uniform number: as many as the dtype's mantissa holds, so that none rounds up to 1
_UNIFORM_BITS = {torch.float64: 32, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


class CounterRng:
    """The draws of one step.

    Args:
        key, step: ints or 0-dim int64 tensors. Under vmap the tensors hold one value a row, and each row gets the bits
            that it gets outside vmap.

    Attributes:
        count: draws so far.
    """

    def __init__(self, key: int | Tensor, step: int | Tensor):
        self.key, self.step, self.count = key, step, 0

    def bits(self, shape: Shape, device: Device = None) -> Tensor:
        """32 random bits an element (int64). This and every method below is the next draw of the step."""
        self.count += 1
        position = torch.arange(math.prod(shape), device=device).view(tuple(shape))
        word = self.key + (self.step << 20) + (self.count << 40)  # distinct for 2**20 steps and 2**20 draws in each
        # an int wraps around like an int64 tensor
        word = word.to(position.device) if isinstance(word, Tensor) else (word + 2**63) % 2**64 - 2**63
        return keyed_bits(word, position)

    def keep(self, shape: Shape, p: float, device: Device = None) -> Tensor:
        """Bools, each False with probability `p`."""
        return self.bits(shape, device) >= round(p * 2**32)

    def uniform(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """In [0, 1), in any floating dtype."""
        dtype = dtype or torch.get_default_dtype()
        bits = _UNIFORM_BITS[dtype]
        return (self.bits(shape, device) >> (32 - bits)).to(dtype) / 2**bits

    def open_uniform(self, shape: Shape, device: Device = None) -> Tensor:
        """In (0, 1) without both ends, so that its logarithm is finite; in the widest dtype of the device."""
        bits = self.bits(shape, device)
        return (bits.to(_widest(bits.device)) + 0.5) / 2**32

    def normal(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """Of mean 0 and variance 1: sqrt(-2 ln u_1) cos(2 pi u_2) with uniform u_1, u_2 (Box & Muller 1958)."""
        radius = (-2 * self.open_uniform(shape, device).log()).sqrt()
        value = radius * torch.cos(2 * math.pi * self.open_uniform(shape, device))
        return value.to(dtype or torch.get_default_dtype())

    def exponential(self, shape: Shape, dtype: torch.dtype | None = None, device: Device = None) -> Tensor:
        """Of mean 1: -ln u with uniform u, the inverse of the distribution function."""
        return -self.open_uniform(shape, device).log().to(dtype or torch.get_default_dtype())

    def integers(self, low: int, high: int, shape: Shape, device: Device = None) -> Tensor:
        """From `low` to `high` - 1 (int64)."""
        word = self.bits(shape, device)
        if high - low > 2**16:  # 63 bits: the remainder of 32 bits would favour small numbers
            word = (word << 31) | (self.bits(shape, device) >> 1)
        return word % (high - low) + low

    def bernoulli(self, p: Tensor) -> Tensor:
        """Bools, each True with its own probability `p`."""
        return self.open_uniform(p.shape, p.device) < p

    @property
    def zero(self) -> Tensor | int:
        """A zero; under vmap one a row, so that a tensor to which it is added gets a value a row."""
        return self.key * 0


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
