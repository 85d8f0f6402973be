"""Trees of an algorithm's values (dicts, lists, Models, tensors): copied, compared, and named by their paths."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from fedlit.model_vectors import Model
from fedlit.user_module.module_snapshot import differ

_LARGEST = 1_000_000  # numbers


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


def cloned(value: Any, share_large: bool = False) -> Any:
    """A deep copy whose tensors have memory of their own. Objects that cannot be copied are shared.

    Args:
        share_large: large tensors are shared, too; see `is_large`.
    """
    if isinstance(value, Tensor):
        return value if share_large and is_large(value) else value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, Model):
        return Model(cloned(value.weights, share_large), cloned(value.statistics, share_large))
    if type(value) in (dict, Entries):
        return {key: cloned(inner, share_large) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(cloned(inner, share_large) for inner in value)
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def is_large(tensor: Tensor) -> bool:
    """Whether a tensor takes long to copy. torch counts its changes in place."""
    return tensor.numel() > _LARGEST and tensor.is_contiguous() and not tensor.is_inference()


def shortened(value: Any) -> Any:
    """A tree of the same types and keys with a number in place of each large tensor."""
    if type(value) is Tensor:
        return value.flatten()[:1] if is_large(value) else value
    if isinstance(value, Model):
        return Model(shortened(value.weights), shortened(value.statistics))
    if type(value) is dict:
        return {key: shortened(inner) for key, inner in value.items()}
    return type(value)(map(shortened, value)) if type(value) in (list, tuple) else value


class Picture:
    """A value as it is now: a copy, or of a large tensor the number of changes in place."""

    def __init__(self, value: Any):
        large = isinstance(value, Tensor) and is_large(value)
        self._value, self._version = value if large else cloned(value), value._version if large else None

    def differs_from(self, value: Any) -> bool:
        """Whether the value is another now. NaN equals NaN."""
        if self._version is not None:
            return value is not self._value or value._version != self._version
        return differ(self._value, value) and not differ(value, value)


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
