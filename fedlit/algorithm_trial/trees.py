"""Trees of an algorithm's values (dicts, lists, Models, tensors): copied, and named by their paths."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fedlit.model_vectors import Model


class MissingKey(KeyError):
    """An algorithm reads a key that a dict of the contract does not have."""

    def __init__(self, source: str, key: object, keys: list[str]):
        super().__init__(key)
        self.source, self.key, self.keys = source, key, keys


class Entries(dict[Any, Any]):
    """A dict that an algorithm receives. It names itself when a key is missing.

    Args:
        source: the name of the dict and the methods that return it.
    """

    def __init__(self, source: str, entries: Mapping[Any, Any]):
        super().__init__(entries)
        self.source = source

    def __missing__(self, key: object) -> Any:
        raise MissingKey(self.source, key, [str(k) for k in self])


def cloned(value: Any) -> Any:
    """A deep copy whose tensors have memory of their own. Objects that cannot be copied are shared."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, Model):
        return Model(cloned(value.weights), cloned(value.statistics))
    if isinstance(value, Entries):
        return {key: cloned(inner) for key, inner in value.items()}
    if type(value) in (dict, list, tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return type(value)((k, cloned(v)) if isinstance(value, dict) else cloned(v) for k, v in items)
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values within a tree that are no dict, list, tuple or Model, with their paths such as `delta.weights`."""
    if isinstance(value, Model):
        yield from ((f"{path}.{part}".lstrip("."), getattr(value, part)) for part in ("weights", "statistics"))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a tree, by path."""
    return {path: leaf for path, leaf in leaves(value) if isinstance(leaf, Tensor)}


def changed_in_place(before: Any, after: Any) -> str | None:
    """The path of a tensor that differs from its earlier copy, bit for bit."""
    for path, tensor in tensors(after).items():
        earlier = before.get(path)
        if earlier is not None and not _same_numbers(earlier, tensor):
            return path
    return None


def _same_numbers(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if torch.equal(first, second):
        return True
    return first.is_floating_point() and bool(torch.allclose(first, second, rtol=0, atol=0, equal_nan=True))


def described(value: Any) -> str:
    """A value's type, or a tensor's shape, for a sentence."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Model):
        return f"a Model of shapes {tuple(value.weights.shape)} and {tuple(value.statistics.shape)}"
    if value is None:
        return "None"
    name = type(value).__name__
    module = type(value).__module__.partition(".")[0]
    name = f"{module}.{name}" if module == "numpy" else name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
