"""Texts of a library, filled up with zeros: the number of bytes that travel does not depend on random numbers."""

from __future__ import annotations

import struct


def filled(text: bytes, block: int) -> bytes:
    """The text after its length in four bytes, filled up to whole blocks."""
    text = struct.pack(">I", len(text)) + text
    return text + bytes(-len(text) % block)


def unfilled(text: bytes) -> bytes:
    (size,) = struct.unpack_from(">I", text)
    return text[4 : 4 + size]
