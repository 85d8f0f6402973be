"""Replacements for operations that vmap rejects or computes wrongly without an error.

Most replace one torch function. What is no torch function is monkey-patched during a step (`_replaced_attributes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.random_mode import Patch
from fedlit.torch_compat import BatchNorm, is_batched, unwrapped, vmap_fallback, vmap_fallback_warning
from fedlit.torch_patches.double_backward import same_address
from fedlit.torch_patches.embeddings import embedding_bag_by_parts, stacked_embedding
from fedlit.torch_patches.recurrent import WRITTEN_OUT


# --- new tensors that the step writes into ---------------------------------------------------------------------------
def _one_a_row(factory: Callable[..., Any]) -> Callable[..., Any]:
    """`factory` with a result for each row: vmap cannot write values that differ by row into a tensor that all rows
    share."""

    def call(rng: CounterRng, *args: Any, **kwargs: Any) -> Any:
        tensor, zero = factory(*args, **kwargs), rng.zero
        if not isinstance(zero, Tensor) or is_batched(tensor):
            return tensor
        zero = zero.to(tensor.device)
        return tensor | zero.bool() if tensor.dtype == torch.bool else tensor + zero.to(tensor.dtype)

    return call


def _float_tensor(rng: CounterRng, *args: Any, **kwargs: Any) -> Any:
    """`torch.tensor(0.0)` may be the start of a sum. Integers are indices and sizes, which the rows share."""
    tensor = torch.tensor(*args, **kwargs)
    return _one_a_row(lambda: tensor)(rng) if tensor.is_floating_point() else tensor


_FACTORIES = (
    *(torch.empty, torch.zeros, torch.ones, torch.full),
    *(torch.empty_like, torch.zeros_like, torch.ones_like, torch.full_like),
    *(Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full, Tensor.new),
)


# --- losses and norms -----------------------------------------------------------------------------------------------
def _cross_entropy(
    rng: CounterRng,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Class weights and label smoothing together, for class indices as targets. Each alone works under vmap.

    With p_c the softmax, w the class weights, y the target and e the smoothing, over C classes:
    (1 - e) w_y (-ln p_y) + e / C sum_c w_c (-ln p_c); the mean is divided by the sum of w_y.

    Args:
        input: (B, C, ...) or (C,).
    """
    if weight is None or not label_smoothing or target.is_floating_point() or not (size_average is reduce is None):
        return NotImplemented
    axis = 1 if input.dim() > 1 else 0
    log_p = F.log_softmax(input, axis)
    is_counted = target != ignore_index
    classes = torch.where(is_counted, target, 0)
    target_weight = weight[classes] * is_counted
    target_loss = -log_p.gather(axis, classes.unsqueeze(axis)).squeeze(axis) * target_weight
    smooth_loss = -(log_p * weight.view(-1, *(1,) * (log_p.dim() - 1 - axis))).sum(axis) * is_counted
    loss = (1 - label_smoothing) * target_loss + label_smoothing / log_p.shape[axis] * smooth_loss
    if reduction == "none":
        return loss
    return loss.sum() / target_weight.sum() if reduction == "mean" else loss.sum()


def _normalize(
    rng: CounterRng, input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Any:
    return NotImplemented if out is None else out.copy_(F.normalize(input, p, dim, eps))


def _moving_average(module: BatchNorm, input: Tensor) -> Tensor:
    """Batch normalisation with `momentum=None`, the plain mean of all batches so far. Their number differs by row, and
    torch reads it as a Python number."""
    module._check_input_dim(input)
    assert module.running_mean is not None and module.running_var is not None
    mean = module.running_mean.clone(memory_format=torch.contiguous_format)
    var = module.running_var.clone(memory_format=torch.contiguous_format)
    out = F.batch_norm(input, mean, var, module.weight, module.bias, True, 1.0, module.eps)
    with torch.no_grad():
        module.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        factor = 1 / module.num_batches_tracked.to(mean.dtype)  # type: ignore[union-attr]
        module.running_mean.add_(factor * (mean - module.running_mean))
        module.running_var.add_(factor * (var - module.running_var))
    return out


_torch_batch_norm = BatchNorm.forward


def _batch_norm(module: BatchNorm, input: Tensor) -> Tensor:
    is_plain_mean = module.momentum is None and module.training and module.track_running_stats
    return _moving_average(module, input) if is_plain_mean else _torch_batch_norm(module, input)


# --- control flow -----------------------------------------------------------------------------------------------------
def _truth_value(rng: CounterRng, tensor: Tensor) -> Any:
    """`if tensor:` where all rows agree; where they do not, vmap raises its own error."""
    values = unwrapped(tensor).bool()
    return bool(values.any()) if bool(values.all()) == bool(values.any()) else NotImplemented


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **{factory: _one_a_row(factory) for factory in _FACTORIES},
    **WRITTEN_OUT,
    torch.tensor: _float_tensor,
    F.embedding: stacked_embedding,
    F.embedding_bag: embedding_bag_by_parts,
    F.cross_entropy: _cross_entropy,
    F.normalize: _normalize,
    Tensor.__bool__: _truth_value,
    Tensor.data_ptr: same_address,  # a stacked tensor has no address
}


@contextmanager
def no_fallback_loops() -> Iterator[None]:
    """While open, a function without a batching rule raises; vmap would loop over the rows."""
    vmap_fallback(False)
    try:
        yield
    finally:
        vmap_fallback(True)


@contextmanager
def _replaced_attributes() -> Iterator[None]:
    """While open, batch norms keep plain means by row, distributions do not validate their arguments (a test of the
    values of all rows), and vmap does not warn where it loops over the rows (a function without a batching rule)."""
    vmap_fallback_warning(False)
    try:
        with patch.object(BatchNorm, "forward", _batch_norm), patch.object(Distribution, "_validate_args", False):
            yield
    finally:
        vmap_fallback_warning(True)


VMAP = Patch(_FUNCTIONS, _replaced_attributes)
