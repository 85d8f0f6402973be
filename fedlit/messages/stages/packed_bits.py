"""Small numbers as 1, 2, 4 or 8 bits, packed into bytes."""

from __future__ import annotations

import torch
from torch import Tensor


def packed(numbers: Tensor, bits: int) -> Tensor:
    """Numbers (K, n) from 0 to 2^bits - 1 as bytes (K, ceil(n bits / 8)); the first number has the lowest bits.

    >>> packed(torch.tensor([[1, 2, 3, 0, 1]]), 2)
    tensor([[57,  1]], dtype=torch.uint8)

    Args:
        bits: 1, 2, 4 or 8.
    """
    per_byte = 8 // bits
    padding = -numbers.shape[1] % per_byte
    groups = torch.nn.functional.pad(numbers.to(torch.uint8), (0, padding)).unflatten(1, (-1, per_byte))
    result = groups[..., 0].clone()
    for place in range(1, per_byte):
        result |= groups[..., place] << (bits * place)
    return result


def unpacked(packed_numbers: Tensor, bits: int, size: int) -> Tensor:
    """The `size` numbers (K, size) of `packed`, uint8.

    >>> unpacked(torch.tensor([[57, 1]], dtype=torch.uint8), 2, 5)
    tensor([[1, 2, 3, 0, 1]], dtype=torch.uint8)
    """
    per_byte, mask = 8 // bits, 2**bits - 1
    groups = [packed_numbers >> (bits * place) & mask for place in range(per_byte)]
    return torch.stack(groups, -1).flatten(1)[:, :size]
