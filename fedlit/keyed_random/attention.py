"""Attention by its formula: fused kernels draw their dropout themselves and have no second derivative."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.dropouts import dropout


def keyed_attention(rng: CounterRng, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """As `torch.nn.functional.scaled_dot_product_attention`; torch's own where there is no dropout."""
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
    """dropout(softmax(Q K^T / sqrt(E) + M)) V (Vaswani et al. 2017, eq. 1).

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, V).
        attn_mask: M, or bools that are False where M is -inf; broadcasts to (..., L, S).
        scale: in place of 1 / sqrt(E).

    Returns:
        (..., L, V).
    """
    if enable_gqa:  # several heads of the query share one head of key and value
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is None:
        return dropout(rng, scores.softmax(-1), dropout_p) @ value
    scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    # a query for which all keys are masked has zeros as output, as in torch
    is_masked_out = (scores == -math.inf).all(-1, keepdim=True)
    shares = scores.masked_fill(is_masked_out, 0.0).softmax(-1).masked_fill(is_masked_out, 0.0)
    return dropout(rng, shares, dropout_p) @ value
