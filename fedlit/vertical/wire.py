"""Messages as bytes, without pickle: a receiver runs no code of a sender's.

A message is its parts, one after the other. A part is the length of its head (4 bytes, big-endian), the head (JSON),
and its content: the numbers of an array in C order, little-endian, or the ciphertexts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.vertical.contract_errors import BrokenProtocol
from fedlit.vertical.party import Message, Part, Sealed

_KINDS = "biuf"  # truth values, integers with and without a sign, floating-point numbers
_LENGTH = 4  # bytes of the length of a head


@dataclass(frozen=True)
class PartFacts:
    """What anybody who carries a part can see without its content.

    Attributes:
        values: numbers or ciphertexts in it.
        bytes: of head and content.
    """

    name: str
    shape: tuple[int, ...]
    sealed: bool
    values: int
    bytes: int


def pack(body: Mapping[str, Part]) -> bytes:
    """
    Raises:
        BrokenProtocol: a part is neither an array of numbers nor `Sealed`.
    """
    pieces: list[bytes] = []
    for name, part in body.items():
        head, content = _sealed(part) if isinstance(part, Sealed) else _array(part, name)
        text = json.dumps({"part": str(name), **head}, separators=(",", ":")).encode()
        pieces += [len(text).to_bytes(_LENGTH, "big"), text, content]
    return b"".join(pieces)


def unpack(message: bytes) -> Message:
    """The parts that `pack` was given, as copies.

    Raises:
        ValueError: these are no bytes of `pack`.
    """
    body: Message = {}
    for head, start, end in _parts(message):
        content, shape = message[start:end], tuple(head["shape"])
        if "dtype" in head:
            body[head["part"]] = np.frombuffer(content, np.dtype(head["dtype"])).reshape(shape).copy()
        else:
            body[head["part"]] = Sealed(tuple(_cut(content, _sizes(head))), shape)
    return body


def facts(message: bytes) -> list[PartFacts]:
    """What a message shows to anybody who carries it; its contents are not read."""
    read, before = [], 0
    for head, _, end in _parts(message):
        shape = tuple(head["shape"])
        read.append(PartFacts(head["part"], shape, "dtype" not in head, math.prod(shape), end - before))
        before = end
    return read


def _array(part: Any, name: str) -> tuple[dict[str, Any], bytes]:
    if not isinstance(part, np.ndarray) or part.dtype.kind not in _KINDS or part.dtype.itemsize > 8:
        kind = f"an array of {part.dtype}" if isinstance(part, np.ndarray) else f"a {type(part).__name__}"
        raise BrokenProtocol(
            f"part {name} of a message is {kind}; send an array of numbers or truth values (up to 64 bits each), or "
            "Sealed."
        )
    dtype = part.dtype.newbyteorder("<")
    return {"dtype": dtype.str, "shape": list(part.shape)}, part.astype(dtype, copy=False).tobytes()


def _sealed(part: Sealed) -> tuple[dict[str, Any], bytes]:
    if math.prod(part.shape) != len(part.blobs):
        raise BrokenProtocol(f"Sealed has {len(part.blobs)} ciphertexts, and its shape is {part.shape}.")
    sizes = [len(blob) for blob in part.blobs]
    equal = len(set(sizes)) == 1
    return {"sizes": sizes[0] if equal else sizes, "shape": list(part.shape)}, b"".join(part.blobs)


def _parts(message: bytes) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Head, and start and end of the content, of each part."""
    position = 0
    while position < len(message):
        start = position + _LENGTH + int.from_bytes(message[position : position + _LENGTH], "big")
        try:
            head = json.loads(message[position + _LENGTH : start])
            size = math.prod(head["shape"]) * np.dtype(head["dtype"]).itemsize if "dtype" in head else sum(_sizes(head))
        except (KeyError, TypeError, ValueError):
            raise ValueError("these bytes are no message between parties") from None
        position = start + size
        if position > len(message):
            raise ValueError("these bytes are a message that was cut off")
        yield head, start, position


def _sizes(head: Mapping[str, Any]) -> list[int]:
    sizes = head["sizes"]
    return [sizes] * math.prod(head["shape"]) if isinstance(sizes, int) else list(sizes)


def _cut(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = 0
    for size in sizes:
        yield content[position : position + size]
        position += size
