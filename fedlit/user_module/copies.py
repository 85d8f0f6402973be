"""A copy of a module to try things on."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def copied(module: AnyModule) -> AnyModule:
    """A deep copy. The older weight_norm leaves a computed weight on its layer, which torch refuses to copy."""
    computed = [v for m in module.modules() for v in vars(m).values() if torch.is_tensor(v) and not v.is_leaf]
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in computed})
