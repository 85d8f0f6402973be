"""Norms of rows that do not overflow where the row itself is finite, and scales of parts of a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def wide(values: Tensor) -> Tensor:
    """Numbers of 16 bits in 32 bits, in which norms and means neither overflow nor become 0; others as they are."""
    return values.float() if values.itemsize < 4 else values


def nonzero(scale: Tensor) -> Tensor:
    """A divisor: the scale, and 1 where it is 0."""
    return scale.where(scale != 0, 1)


def largest(values: Tensor) -> Tensor:
    """The largest absolute value along the last axis, (..., 1)."""
    return values.abs().amax(-1, keepdim=True)


def euclidean_norm(values: Tensor) -> Tensor:
    """||v|| along the last axis, (..., 1): max |v| ||v / max |v| ||, because the square of 1e20 overflows in 32 bits.

    >>> euclidean_norm(torch.tensor([[3e30, 4e30], [0.0, 0.0]]))
    tensor([[5.0000e+30],
            [0.0000e+00]])
    """
    top = largest(values)
    return top * (values / nonzero(top)).norm(dim=-1, keepdim=True)


def root_mean_square(values: Tensor) -> Tensor:
    """sqrt(1/n sum v^2) along the last axis, (..., 1)."""
    top = largest(values)
    return top * (values / nonzero(top)).square().mean(-1, keepdim=True).sqrt()


def spread(scales: Tensor, sizes: Sequence[int]) -> Tensor:
    """Scales (K, G) of G parts of a row as (K, n), each as often as its part has numbers.

    >>> spread(torch.tensor([[1.0, 2.0]]), [2, 1])
    tensor([[1., 1., 2.]])
    """
    if len(sizes) == 1:
        return scales
    return torch.cat([scales[:, g, None].expand(-1, size) for g, size in enumerate(sizes)], -1)
