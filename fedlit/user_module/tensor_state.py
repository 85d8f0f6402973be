"""The tensors of a module and their values, to undo what a step does to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TensorState:
    """A copy of all parameters and buffers of a module.

    A step may change a tensor in place or assign another one (`self.count = self.count + 1`); `put_back` undoes both,
    and it removes tensors and submodules that the step added.
    """

    def __init__(self, module: nn.Module):
        self._dicts: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (tensors, dict(tensors))
            for part in module.modules()
            for tensors in (part._parameters, part._buffers, part._modules)
        ]
        self._tensors = [t.detach() for t in (*module.parameters(), *module.buffers())]
        self._values = [t.clone() for t in self._tensors]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make the module's tensors those of the copy, with their values."""
        for tensors, original in self._dicts:
            if tensors.keys() != original.keys() or any(tensors[name] is not t for name, t in original.items()):
                tensors.clear()
                tensors.update(original)
        if self._tensors:
            torch._foreach_copy_(self._tensors, self._values)
