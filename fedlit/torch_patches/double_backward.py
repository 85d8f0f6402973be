"""Torch functions whose fused form has no second derivative, by their formulas.

A `gradient_fn` that differentiates the loss twice (a Hessian-vector product, say) runs its step under this patch. CTC
loss has no replacement; torch raises its own error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.attention import by_formula
from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.random_mode import Patch
from fedlit.torch_patches.embeddings import embedding_bag_by_parts, stacked_embedding
from fedlit.torch_patches.recurrent import WRITTEN_OUT


def _hardsigmoid(rng: CounterRng, input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    value = (input + 3).clamp(0, 6) / 6
    return input.copy_(value) if inplace else value


def same_address(rng: CounterRng, tensor: Tensor) -> int:
    """Pretend that all tensors share one address. cuDNN's RNNs compare weight pointers and would re-flatten
    non-contiguous weights in the middle of backward."""
    return 0


def _dense_embedding(rng: CounterRng, input: Tensor, weight: Tensor, *args: Any, **options: Any) -> Any:
    """An embedding with sparse gradients: they could not reach the vector that the weight is a piece of."""
    is_sparse = args[4] if len(args) > 4 else options.get("sparse", False)
    return stacked_embedding(rng, input, weight, *args, **options) if is_sparse else NotImplemented


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **WRITTEN_OUT,
    F.scaled_dot_product_attention: by_formula,
    F.embedding: _dense_embedding,
    F.embedding_bag: embedding_bag_by_parts,
    F.hardsigmoid: _hardsigmoid,
    Tensor.data_ptr: same_address,
}

DOUBLE_BACKWARD = Patch(_FUNCTIONS)
