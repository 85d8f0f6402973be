"""Attention by its formula: for dropout that is keyed, and for second derivatives, which fused kernels do not have."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.dropouts import dropout


def keyed_attention(rng: CounterRng, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """As `torch.nn.functional.scaled_dot_product_attention`: torch's own where nothing is dropped."""
    p = kwargs["dropout_p"] if "dropout_p" in kwargs else args[1] if len(args) > 1 else 0.0
    return by_formula(rng, query, key, value, *args, **kwargs) if p else NotImplemented


def by_formula(
    rng: CounterRng,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """query (..., L, E), key (..., S, E), value (..., S, V) to (..., L, V)."""
    if enable_gqa:  # several heads of the query share one of key and value
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is None:
        return dropout(rng, scores.softmax(-1), dropout_p) @ value
    scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    blind = (scores == -math.inf).all(-1, keepdim=True)  # a place that sees nothing gets zeros, as torch's
    shares = scores.masked_fill(blind, 0.0).softmax(-1).masked_fill(blind, 0.0)
    return dropout(rng, shares, dropout_p) @ value
