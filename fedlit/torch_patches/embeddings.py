"""Embeddings by plain indexing, for vmap and for second derivatives.

vmap ignores `padding_idx` in the gradient without an error, and rejects `max_norm` and embedding bags.
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
        lookups = _lookups(input, len(weight))[input]
        out = _with_gradient_of(out / lookups.unsqueeze(-1), out)
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
        return NotImplemented  # bags of different lengths
    out = stacked_embedding(rng, input, weight, None, max_norm, norm_type, scale_grad_by_freq)
    counted = input != (-1 if padding_idx is None else padding_idx % len(weight))  # -1: all
    if per_sample_weights is not None:
        out = out * per_sample_weights.unsqueeze(-1)
    if mode == "max":
        highest = out.masked_fill(~counted.unsqueeze(-1), -math.inf).max(1).values
        return torch.where(counted.any(1, keepdim=True), highest, 0.0)
    total = out.masked_fill(~counted.unsqueeze(-1), 0.0).sum(1)
    return total if mode == "sum" else total / counted.sum(1, keepdim=True).clamp_min(1)


@torch.no_grad()
def _renorm(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Rescale the rows that are looked up to at most `max_norm`, in place."""
    norm = weight.norm(norm_type, -1, keepdim=True)
    too_long = (_lookups(input, len(weight)).unsqueeze(-1) > 0) & (norm > max_norm)
    weight.copy_(torch.where(too_long, weight * (max_norm / (norm + 1e-7)), weight))


def _lookups(input: Tensor, rows: int) -> Tensor:
    """(N,): how often each row is looked up."""
    indices = input.flatten()
    return torch.zeros(rows, dtype=input.dtype, device=input.device).scatter_add(0, indices, torch.ones_like(indices))


def _with_gradient_of(other: Tensor, value: Tensor) -> Tensor:
    """`value`, with the gradient of `other`."""
    return other + (value - other).detach()
