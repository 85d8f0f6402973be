"""A digest of an object's contents, the same in every process: of its tensors, attributes, and what these hold."""

from __future__ import annotations

import hashlib
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from fedlit.errors import InputError

_PLAIN = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device, torch.Size)
_SET_BY_FITS = ("_trainer", "_fabric")  # by Lightning


@dataclass
class _Walk:
    """
    Attributes:
        numbers: of the objects so far, so that tied weights and circles are seen. It keeps them, because Python uses an
            `id` again.
        unseen: types of the objects whose contents are not known.
    """

    numbers: dict[int, tuple[int, Any]] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)

    def describe(self, value: Any) -> Any:
        """A value as nested lists of text."""
        if isinstance(value, _PLAIN):
            return [type(value).__name__, repr(value)]
        if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
            return ["name", _name(value)]
        if isinstance(value, tuple) and type(value) is tuple:
            return ["tuple", *map(self.describe, value)]
        if id(value) in self.numbers:
            return ["again", str(self.numbers[id(value)][0])]
        self.numbers[id(value)] = len(self.numbers), value
        return [_name(type(value)), *self._contents(value)]

    def _contents(self, value: Any) -> list[Any]:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return [str(value.dtype), str(value.shape), _sha(np.ascontiguousarray(value).tobytes())]
        if isinstance(value, nn.Module):
            return [
                [name, self._attribute(name, inner)] for name, inner in vars(value).items() if name not in _SET_BY_FITS
            ]
        if isinstance(value, Mapping):
            return [[self.describe(key), self.describe(inner)] for key, inner in value.items()]
        if isinstance(value, set | frozenset):
            return list(map(self.describe, sorted(value, key=self._key)))
        if isinstance(value, list):
            return list(map(self.describe, value))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, weakref.ref):
            return [self.describe(value())]
        if isinstance(value, RemovableHandle):
            return []  # of a hook, which its module lists; its number counts all hooks of the process
        return self._saved(value)

    def _key(self, element: Any) -> str:
        """An element of a set as text that is the same whenever the element is described, since the order of a set
        differs from process to process."""
        before = len(self.numbers)
        described = repr(self.describe(element))
        while len(self.numbers) > before:  # a number is that of the order after sorting
            self.numbers.popitem()
        return described

    def _attribute(self, name: str, value: Any) -> Any:
        if "_hooks" in name and isinstance(value, Mapping):
            return [self.describe(hook) for hook in value.values()]  # a key is such a number
        return self.describe(value)

    def _tensor(self, value: Tensor) -> list[Any]:
        facts = [str(value.dtype), str(value.requires_grad)]
        if is_lazy(value) or value.is_meta:
            return facts
        numbers = value.detach().cpu()
        if numbers.layout != torch.strided:
            return [*facts, self.describe(numbers.to_dense())]
        plain = numbers.resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8)
        return [*facts, str(tuple(value.shape)), _sha(plain.numpy().tobytes())]

    def _function(self, value: types.FunctionType) -> list[Any]:
        """Its name; also its code where a name says nothing: a lambda, an inner function, one of a notebook."""
        named = "<" not in value.__qualname__ and value.__module__ != "__main__"
        cells = list(map(self._cell, value.__closure__ or ()))
        defaults = [self.describe(value.__defaults__), self.describe(value.__kwdefaults__)]
        return [_name(value), [] if named else self._code(value.__code__), cells, defaults]

    def _cell(self, cell: types.CellType) -> Any:
        try:
            contents = cell.cell_contents
        except ValueError:  # the variable was deleted, or has no value yet
            return ["empty"]
        return self.describe(contents)

    def _code(self, code: types.CodeType) -> list[Any]:
        constants = [self._code(c) if isinstance(c, types.CodeType) else self.describe(c) for c in code.co_consts]
        return [code.co_code.hex(), str(code.co_names), constants]

    def _saved(self, value: Any) -> list[Any]:
        """What pickle saves of an object: how it is made, its attributes, and its items."""
        try:
            saved = value.__reduce_ex__(4)
        except RecursionError:
            raise  # what is unseen must not depend on how deep this call is
        except Exception:
            self.unseen.add(_name(type(value)))
            return []
        if isinstance(saved, str):
            return [saved]
        return [list(map(self.describe, part)) if isinstance(part, Iterator) else self.describe(part) for part in saved]


def digest_of(value: Any) -> tuple[str, list[str]]:
    """The digest, 17 letters and digits, and the types of what the object holds that it does not see into, such as an
    open file. A lazy tensor has no numbers yet, and counts by its type.

    Raises:
        InputError: the contents are nested deeper than Python's recursion reaches.
    """
    walk = _Walk()
    try:
        described = repr(walk.describe(value))
    except RecursionError:
        raise InputError(
            f"this {type(value).__name__} holds objects within objects, more deeply than Python's recursion reaches "
            f"({sys.getrecursionlimit()} calls); keep them in a flat list, or raise sys.setrecursionlimit."
        ) from None
    digest = _sha(described.encode())
    return f"d{digest[:16]}", sorted(walk.unseen)  # a letter first: Hydra reads 12e4 as a number


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
