"""Which objects a module is made of: its submodules and parameters, and the names of its buffers."""

from __future__ import annotations

from operator import is_
from typing import Any

from torch import nn


class ModuleStructure:
    """
    Example: a layer that a hook replaces in a fit is put back.

    >>> module = nn.Sequential(nn.Linear(2, 2))
    >>> structure, layer = ModuleStructure(module), module[0]
    >>> module[0] = nn.Linear(2, 2)
    >>> structure.is_unchanged()
    False
    >>> structure.restore()
    >>> module[0] is layer
    True
    """

    def __init__(self, module: nn.Module):
        parts = list(module.modules())
        self._objects: list[tuple[Any, dict[str, Any]]] = [
            (objects, dict(objects)) for part in parts for objects in (part._modules, part._parameters)
        ]
        self._buffer_names = [(part._buffers, frozenset(part._buffers)) for part in parts]

    def is_unchanged(self) -> bool:
        """Whether the module has the same objects, buffers aside."""
        return all(_is_same(current, original) for current, original in self._objects)

    def restore(self) -> None:
        """Put the original objects back, and remove new submodules, parameters and buffers."""
        for current, original in self._objects:
            if not _is_same(current, original):
                current.clear()
                current.update(original)
        for buffers, names in self._buffer_names:
            for name in [n for n in buffers if n not in names]:
                del buffers[name]


def _is_same(current: dict[str, Any], original: dict[str, Any]) -> bool:
    return current.keys() == original.keys() and all(map(is_, current.values(), original.values()))
