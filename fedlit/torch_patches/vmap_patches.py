"""What torch.func.vmap refuses in a user's step, or gets wrong without an error, answered by what it can do.

`STACKED` is a table as in `draws_table`; `stacking` replaces for the time of a step what no torch function can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.recurrent import WRITTEN_OUT
from fedlit.torch_patches.embeddings import embedding_bag_by_parts, stacked_embedding
from fedlit.torch_patches.replaced import replaced

_functorch: Any = functorch  # mypy does not know all of its names


# --- tensors that are made and then written into ---------------------------------------------------------------------
def _one_a_row(factory: Callable[..., Any]) -> Callable[..., Any]:
    """One tensor a row: a value that differs from row to row cannot be written into one that all rows share."""

    def call(noise: CounterRng, *args: Any, **kwargs: Any) -> Any:
        made = factory(*args, **kwargs)
        row = noise.row
        if not isinstance(row, Tensor) or _functorch.is_batchedtensor(made):
            return made
        row = row.to(made.device)
        return made | row.bool() if made.dtype == torch.bool else made + row.to(made.dtype)

    return call


def _float_tensor(noise: CounterRng, *args: Any, **kwargs: Any) -> Any:
    """`torch.tensor(0.0)` is a sum that begins; integers are indices and sizes, which the rows share."""
    made = torch.tensor(*args, **kwargs)
    return _one_a_row(lambda: made)(noise) if made.is_floating_point() else made


_FACTORIES = (
    *(torch.empty, torch.zeros, torch.ones, torch.full),
    *(torch.empty_like, torch.zeros_like, torch.ones_like, torch.full_like),
    *(Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full, Tensor.new),
)


# --- losses and norms -----------------------------------------------------------------------------------------------
def _cross_entropy(
    noise: CounterRng,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """With class weights and smoothing at once, and classes as targets: input (B, C, ...) or (C,)."""
    if weight is None or not label_smoothing or target.is_floating_point() or not (size_average is reduce is None):
        return NotImplemented
    axis = 1 if input.dim() > 1 else 0
    log_p = F.log_softmax(input, axis)
    here = target != ignore_index
    classes = torch.where(here, target, 0)
    share = weight[classes] * here
    hit = -log_p.gather(axis, classes.unsqueeze(axis)).squeeze(axis) * share
    smooth = -(log_p * weight.view(-1, *(1,) * (log_p.dim() - 1 - axis))).sum(axis) * here
    loss = (1 - label_smoothing) * hit + label_smoothing / log_p.shape[axis] * smooth
    if reduction == "none":
        return loss
    return loss.sum() / share.sum() if reduction == "mean" else loss.sum()


def _normalize(
    noise: CounterRng, input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Any:
    return NotImplemented if out is None else out.copy_(F.normalize(input, p, dim, eps))


def _moving_average(module: _BatchNorm, input: Tensor) -> Tensor:
    """Batch normalisation with `momentum=None`: the plain mean of all batches so far, whose number differs by row."""
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


_torchs_batch_norm = _BatchNorm.forward


def _batch_norm(module: _BatchNorm, input: Tensor) -> Tensor:
    mends = module.momentum is None and module.training and module.track_running_stats
    return _moving_average(module, input) if mends else _torchs_batch_norm(module, input)


# --- questions about all rows at once --------------------------------------------------------------------------------
def _truth(noise: CounterRng, tensor: Tensor) -> Any:
    """`if tensor:` has an answer where all rows agree; where they do not, vmap's own error says so."""
    plain = tensor
    while _functorch.is_functorch_wrapped_tensor(plain):
        plain = _functorch.get_unwrapped(plain)
    answers = plain.bool()
    return bool(answers.any()) if bool(answers.all()) == bool(answers.any()) else NotImplemented


def _address(noise: CounterRng, tensor: Tensor) -> int:
    """A stacked tensor has none: recurrent layers ask, and leave weights alone that lie at one place (cuDNN)."""
    return 0


STACKED: dict[Any, Callable[..., Any]] = {
    **{factory: _one_a_row(factory) for factory in _FACTORIES},
    **WRITTEN_OUT,
    torch.tensor: _float_tensor,
    F.embedding: stacked_embedding,
    F.embedding_bag: embedding_bag_by_parts,
    F.cross_entropy: _cross_entropy,
    F.normalize: _normalize,
    Tensor.__bool__: _truth,
    Tensor.data_ptr: _address,
}


@contextmanager
def no_rows_inside() -> Iterator[None]:
    """While open, a function without a batching rule raises, where vmap would loop over the rows inside."""
    _functorch._set_vmap_fallback_enabled(False)
    try:
        yield
    finally:
        _functorch._set_vmap_fallback_enabled(True)


@contextmanager
def stacking() -> Iterator[None]:
    """While open, batch norms keep plain means by row, distributions do not ask whether every value is valid, and torch
    does not ask for an issue where it goes row by row inside (a function without a batching rule)."""
    _functorch._set_vmap_fallback_warning_enabled(False)
    try:
        with replaced(_BatchNorm, "forward", _batch_norm), replaced(Distribution, "_validate_args", False):
            yield
    finally:
        _functorch._set_vmap_fallback_warning_enabled(True)
