"""The tensors that a run changes in a module of the caller's: trained weights and buffers, as they were before round 1.

The module is not saved, and the first weights of one that is made again are others. Its first tensors lie in
`checkpoints/round_0000`, and whatever takes the module's place gets them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fedlit.user_module.module_snapshot import recomputed_attributes

_COMPUTED = "computed:"  # before the name of an attribute, which is no parameter and no buffer


def first_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Name -> tensor, not copied: parameters that require a gradient, and all buffers; also weights that an older layer
    computes of these. Lazy ones have no numbers yet, and frozen ones do not change.
    """
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    tensors = {name: value.detach() for name, value in [*trained, *module.named_buffers()] if not is_lazy(value)}
    return tensors | {f"{_COMPUTED}{name}": value for name, value in _computed(module).items()}


@torch.no_grad()
def put_first_tensors(module: nn.Module, first: Mapping[str, Tensor]) -> bool:
    """Copy tensors into a module; whether it has all of them, by name, shape and type, and no other. If not, it stays
    as it was.
    """
    tensors = first_tensors(module)
    if {n: (t.shape, t.dtype) for n, t in tensors.items()} != {n: (t.shape, t.dtype) for n, t in first.items()}:
        return False
    for name, value in first.items():
        if not torch.equal(tensors[name], value):
            tensors[name].copy_(value)
    return True


def frozen_names(module: nn.Module) -> list[str]:
    """Names of the parameters that no fit trains."""
    return [name for name, parameter in module.named_parameters() if not parameter.requires_grad]


def _computed(module: nn.Module) -> dict[str, Tensor]:
    parts = dict(module.named_modules())
    values = {f"{part}.{name}": vars(parts[part]).get(name) for part, name in recomputed_attributes(module)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
