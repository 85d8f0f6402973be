"""Embeddings from indexing alone, for vmap and for second derivatives.

vmap forgets `padding_idx` in the gradient without an error, and refuses `max_norm` and bags.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fedlit.keyed_random.counter_rng import CounterRng


def stacked_embedding(
    rng: CounterRng,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """As `torch.nn.functional.embedding`: indices of any shape (...), weight (N, D), to (..., D)."""
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    out = torch.embedding(weight, input)
    if scale_grad_by_freq:
        out = _with_gradient_of(out / _times(input, len(weight)).unsqueeze(-1), out)
    if padding_idx is not None:
        out = torch.where((input == padding_idx % len(weight)).unsqueeze(-1), out.detach(), out)
    return out


def embedding_bag_by_parts(
    rng: CounterRng,
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """As `torch.nn.functional.embedding_bag` of bags of one length: indices (B, L), weight (N, D), to (B, D)."""
    if input.dim() != 2 or offsets is not None:
        return NotImplemented  # bags of several lengths
    out = stacked_embedding(rng, input, weight, None, max_norm, norm_type, scale_grad_by_freq)
    counts = input != (padding_idx % len(weight) if padding_idx is not None else -1)  # an index that there is not
    if per_sample_weights is not None:
        out = out * per_sample_weights.unsqueeze(-1)
    if mode == "max":
        highest = out.masked_fill(~counts.unsqueeze(-1), -math.inf).max(1).values
        return torch.where(counts.any(1, keepdim=True), highest, 0.0)
    total = out.masked_fill(~counts.unsqueeze(-1), 0.0).sum(1)
    return total if mode == "sum" else total / counts.sum(1, keepdim=True).clamp_min(1)


@torch.no_grad()
def _renorm(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that are looked up are shortened to `max_norm`, in place."""
    norm = weight.norm(norm_type, -1, keepdim=True)
    long = (_times_each(input, len(weight)).unsqueeze(-1) > 0) & (norm > max_norm)
    weight.copy_(torch.where(long, weight * (max_norm / (norm + 1e-7)), weight))


def _times_each(input: Tensor, rows: int) -> Tensor:
    """(N,): how often each row is looked up."""
    flat = input.flatten()
    return torch.zeros(rows, dtype=input.dtype, device=input.device).scatter_add(0, flat, torch.ones_like(flat))


def _times(input: Tensor, rows: int) -> Tensor:
    """(...): how often the row of this index is looked up in all."""
    return _times_each(input, rows)[input]


def _with_gradient_of(other: Tensor, value: Tensor) -> Tensor:
    return other + (value - other).detach()
