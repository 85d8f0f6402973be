"""Rows of bytes as tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def as_rows(texts: list[bytes]) -> Tensor:
    """Texts of one length, as uint8 (len(texts), length)."""
    return torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8).reshape(len(texts), -1)


def as_bytes(rows: Tensor) -> list[bytes]:
    """The bytes of each row."""
    return [row.tobytes() for row in rows.cpu().contiguous().numpy()]
