"""Objects of the caller's own that a run uses in place of classes that its configuration names.

The configuration names a function of this file, and says what object it gave: `model.kind: mine.Net` and a digest of
its numbers. The object itself is not saved, so the run goes on only where the caller gives an equal one again.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fedlit.errors import InputError

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_GIVEN: dict[str, Any] = {}  # group -> object, while `given` is open


@contextmanager
def given(objects: Mapping[str, Any]) -> Iterator[None]:
    """In the block, runs in this process use these objects.

    Args:
        objects: by group, "model", "data" or "aggregator".
    """
    before = dict(_GIVEN)
    _GIVEN.update(objects)
    try:
        yield
    finally:
        _GIVEN.clear()
        _GIVEN.update(before)


def words_for(objects: Mapping[str, Any]) -> list[str]:
    """The overrides that name these objects."""
    words = []
    for group, value in objects.items():
        words += [f"{group}._target_={__name__}.{group}", f"{group}.kind={_kind(value)}"]
        if group != "data":  # a run compares its samples itself
            words.append(f"{group}.digest={_digest(value)}")
    return words


def is_live(target: str) -> bool:
    """Whether a `_target_` names an object of the caller's."""
    return target.startswith(f"{__name__}.")


def model(kind: str, digest: str) -> Any:
    """A copy of the module, with its weights: the caller's own stays untrained."""
    return copy.deepcopy(_object("model", kind, digest))


def data(kind: str) -> Any:
    """The data module, whose attributes stay as they are: its hooks run on a shallow copy, since it may hold much."""
    return copy.copy(_object("data", kind))


def aggregator(kind: str, digest: str) -> Any:
    """A copy of the algorithm."""
    return copy.deepcopy(_object("aggregator", kind, digest))


def _object(group: str, kind: str, digest: str | None = None) -> Any:
    if group not in _GIVEN:
        raise InputError(
            f"{group}: this run was given an object of {kind}, which is not saved; go on with it in Python, by "
            'fedlit.federate(<the same objects>, "resume=<run folder>").'
        )
    value = _GIVEN[group]
    if _kind(value) != kind:
        raise InputError(f"{group}: this run began with an object of {kind}; give one, and not one of {_kind(value)}.")
    if digest is not None and _digest(value) != digest:
        raise InputError(
            f"{group}: this run began with a {kind} of other weights or attributes; give one that is made in the same "
            "way (after the same torch.manual_seed)."
        )
    return value


def _kind(value: Any) -> str:
    """The import path of an object's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}".replace("<locals>", "locals")


def _digest(value: Any) -> str:
    """A digest of the tensors and plain attributes of a module, or of an algorithm. Of other attributes, such as
    functions, only the type is known."""
    digest = hashlib.sha256()
    parts = value.named_modules() if isinstance(value, nn.Module) else [("", value)]
    for name, part in parts:
        digest.update(repr((name, _kind(part), _described(vars(part)))).encode())
    return f"d{digest.hexdigest()[:16]}"  # a letter first: Hydra reads 12e4 as a number


def _described(value: Any) -> Any:
    """A value as text that is the same in another process."""
    if isinstance(value, torch.Tensor):
        try:
            numbers = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        except (
            RuntimeError,
            TypeError,
            NotImplementedError,
            ValueError,
        ):  # without numbers yet, such as a lazy layer's
            return type(value).__name__
        return str(value.dtype), tuple(value.shape), value.requires_grad, hashlib.sha256(numbers).hexdigest()
    if isinstance(value, nn.Module):
        return _kind(value)  # it is in named_modules, or makes no difference to training
    if isinstance(value, Mapping):
        return [(str(key), _described(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [_described(inner) for inner in value]
    return value if isinstance(value, _PLAIN) else _kind(value)
