"""Torch functions whose fused form has no second derivative, by their formulas: for rules that differentiate twice.

CTC loss has no other form here: torch's error says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.attention import by_formula
from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.recurrent import WRITTEN_OUT
from fedlit.torch_patches.embeddings import embedding_bag_by_parts


def _hardsigmoid(noise: CounterRng, input: Tensor, inplace: bool = False) -> Tensor:
    value = (input + 3).clamp(0, 6) / 6
    return input.copy_(value) if inplace else value


def _address(noise: CounterRng, tensor: Tensor) -> int:
    """All at one: cuDNN's recurrent layers ask, and would move weights that lie apart, under backward's feet."""
    return 0


TWICE: dict[Any, Callable[..., Any]] = {
    **WRITTEN_OUT,
    F.scaled_dot_product_attention: by_formula,
    F.embedding_bag: embedding_bag_by_parts,
    F.hardsigmoid: _hardsigmoid,
    Tensor.data_ptr: _address,
}
