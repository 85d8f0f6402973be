"""A client's state as bytes, and back: what is written is what is read, and reading it runs no code.

A head of JSON says how the state is built (dicts, Models, lists, plain values) and where each tensor stands, then come
the tensors' own bytes. `torch.save` does the same at ten times the cost, for a small state.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from fedlit.model_vectors import Model

_LENGTH = 4  # bytes that tell the length of the head


def to_bytes(state: Any) -> bytes:
    """Raises TypeError for what is neither a tensor, a Model, a dict, a list nor a plain value."""
    parts: list[bytes] = []
    head = json.dumps(_described(state, parts), separators=(",", ":")).encode()
    return b"".join([len(head).to_bytes(_LENGTH, "little"), head, *parts])


def from_bytes(written: bytes, device: torch.device | str = "cpu") -> Any:
    """`device`: for tensors that were not on the CPU."""
    contents = bytearray(written)  # torch warns of bytes that cannot be written to
    start = _LENGTH + int.from_bytes(contents[:_LENGTH], "little")
    return _Reader(contents, start, device).value(json.loads(contents[_LENGTH:start]))


def _described(value: Any, parts: list[bytes]) -> Any:
    """The head's words for a value, one letter each; the bytes of its tensors go to `parts`."""
    if torch.is_tensor(value):
        there = value.detach().cpu().contiguous()
        parts.append(there.reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"t": [str(value.dtype).removeprefix("torch."), list(value.shape), value.device.type == "cpu"]}
    if isinstance(value, Model):
        return {"m": [_described(value.weights, parts), _described(value.statistics, parts)]}
    if isinstance(value, dict):
        return {"d": [[key, _described(inner, parts)] for key, inner in value.items()]}  # a key may be a number
    if isinstance(value, list | tuple):
        return {"l" if isinstance(value, list) else "u": [_described(inner, parts) for inner in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"v": value}
    raise TypeError(f"a client's state holds a {type(value).__name__}; keep tensors, Models, dicts and plain values")


class _Reader:
    """Takes the tensors from `contents` one after the other, as they were written."""

    def __init__(self, contents: bytearray, at: int, device: torch.device | str):
        self.contents, self.at, self.device = contents, at, device

    def value(self, described: dict[str, Any]) -> Any:
        ((kind, inner),) = described.items()
        if kind == "t":
            return self._tensor(*inner)
        if kind == "m":
            return Model(*map(self.value, inner))
        if kind == "d":
            return {key: self.value(one) for key, one in inner}
        if kind in "lu":
            return (list if kind == "l" else tuple)(map(self.value, inner))
        return inner

    def _tensor(self, name: str, shape: list[int], on_cpu: bool) -> Tensor:
        dtype = getattr(torch, name)
        tensor = torch.empty(shape, dtype=dtype)
        if tensor.numel():
            flat = torch.frombuffer(self.contents, dtype=dtype, count=tensor.numel(), offset=self.at)
            tensor.copy_(flat.view(shape))
        self.at += tensor.numel() * tensor.element_size()
        return tensor if on_cpu else tensor.to(self.device)
