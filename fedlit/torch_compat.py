"""Private names of torch that fedlit uses, each with the reason. No other file imports one.

torch promises nothing about these names: where a new version moves one, this file is edited.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.utils.checkpoint as checkpoint_module
from torch._C import _functorch as _untyped_functorch
from torch._ops import OpOverload
from torch.nn import functional as _functional
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.batchnorm import _NormBase as BatchOrInstanceNorm
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.module import _WrappedHook as WrappedHook
from torch.utils import _pytree as pytree

__all__ = [
    "CHECKPOINT_GENERATOR",
    "BatchNorm",
    "BatchOrInstanceNorm",
    "Convolution",
    "F",
    "OpOverload",
    "WrappedHook",
    "checkpoint_module",
    "functorch",
    "is_batched",
    "pytree",
    "stop_workers",
    "unwrapped",
    "vmap_fallback",
    "vmap_fallback_warning",
    "workers_alive",
]

# BatchNorm, BatchOrInstanceNorm, Convolution: the common base class of all dimensions; torch exports only the classes
# of each dimension.
# pytree: maps and flattens nested batches; torch.utils exports no public version.
# OpOverload: the kind of a node's target in a trace of make_fx.
# WrappedHook: torch's wrapper around a module's hook; a copy of one has fewer attributes.

F: Any = _functional
"""torch.nn.functional with its private names (`_fractional_max_pool2d`, ...), which mypy does not know."""

functorch: Any = _untyped_functorch
"""Tells whether a tensor is batched by vmap; torch.func has no public function that does."""

_GENERATORS = ("_checkpoint_without_reentrant_generator_impl", "_checkpoint_without_reentrant_generator")
CHECKPOINT_GENERATOR = next(name for name in _GENERATORS if hasattr(checkpoint_module, name))
"""Name of the generator inside `torch.utils.checkpoint` that runs a part again; it changed between versions."""


def is_batched(value: Any) -> bool:
    """Whether a tensor is a stack of rows inside vmap."""
    return bool(functorch.is_batchedtensor(value))


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """The plain tensor inside the wrappers of vmap and grad."""
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def vmap_fallback(enabled: bool) -> None:
    """Whether vmap loops over the rows for a function without a batching rule, or raises."""
    functorch._set_vmap_fallback_enabled(enabled)


def vmap_fallback_warning(enabled: bool) -> None:
    """Whether vmap warns of such a loop."""
    functorch._set_vmap_fallback_warning_enabled(enabled)


def workers_alive(loader: Any) -> bool:
    """Whether all processes of a DataLoader with `persistent_workers` run; True before its first iteration."""
    return loader._iterator is None or all(worker.is_alive() for worker in loader._iterator._workers)


def stop_workers(loader: Any) -> None:
    """Stop the processes of a DataLoader with `persistent_workers`, which does so itself when it is collected."""
    iterator, loader._iterator = loader._iterator, None
    if iterator is not None:
        iterator._shutdown_workers()  # does nothing while Python shuts down
        for worker in iterator._workers:
            if worker.is_alive():
                worker.kill()
                worker.join()
