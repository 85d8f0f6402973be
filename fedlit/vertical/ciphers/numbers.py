"""Numbers as bytes of one width."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlit.vertical.party import Part


def as_bytes(numbers: Iterable[Any], width: int) -> np.ndarray:
    """
    Returns:
        (count, width) uint8: each number, highest byte first.
    """
    texts = b"".join(int(number).to_bytes(width, "big") for number in numbers)
    return np.frombuffer(texts, np.uint8).reshape(-1, width)


def from_bytes(part: Part) -> list[int]:
    """The numbers of an array that `as_bytes` has made."""
    assert isinstance(part, np.ndarray)
    return [int.from_bytes(row.tobytes(), "big") for row in part]
