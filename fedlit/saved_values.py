"""What a checkpoint can hold: refused when it is saved, not when it is read.

`torch.save` writes any object, and `torch.load(weights_only=True)` reads tensors and plain values alone: neither numpy
arrays nor integers above 2,040 bits, which pickle writes in another way.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch

from fedlit.errors import InputError

_BITS = 2040  # pickle writes an integer of at most 255 bytes, sign included, as LONG1, and a longer one as LONG4
_ADVICE = {
    "ndarray": "keep a tensor, torch.from_numpy(...)",
    "int": "keep its text, hex(...)",
    "generator": "keep its seed",
}


def check_saved(value: Any, where: str) -> None:
    """
    Args:
        value: a state: dicts, lists and tuples of tensors and plain values.
        where: what it is the state of, such as "the state of host".

    Raises:
        InputError: a checkpoint with it could be written and not be read; names the key.
    """
    for path, leaf in _leaves(value, ""):
        if not _is_plain(leaf) and not _can_be_read(leaf):
            kind = type(leaf).__name__
            what = f"an integer of {leaf.bit_length():,} bits" if isinstance(leaf, int) else f"a {kind}"
            advice = _ADVICE.get(kind, "keep tensors, numbers, texts, and lists and dicts of them")
            raise InputError(f"{where}: {path or 'it'} is {what}, which no checkpoint can hold; {advice}.")


def plain_copy(value: Any) -> Any:
    """Tensors copied out of larger storages, which torch.save would write in full."""
    if isinstance(value, dict):
        return {key: plain_copy(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain_copy(inner) for inner in value)
    return value.clone() if torch.is_tensor(value) else value


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if type(value) in (dict, OrderedDict):
        for key, inner in value.items():
            yield f"the key {key!r}", key
            yield from _leaves(inner, f"{path}[{key!r}]")
    elif type(value) in (list, tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def _is_plain(leaf: Any) -> bool:
    if type(leaf) is int:
        return leaf.bit_length() < _BITS
    return leaf is None or type(leaf) in (bool, float, str, torch.Tensor)


def _can_be_read(leaf: Any) -> bool:
    file = io.BytesIO()
    try:
        torch.save(leaf, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:
        return False
    return True
