"""The messages of a round as columns of numbers, (n, P), worked on in blocks: the copies in 64 bits stay small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fedlit.model_vectors import as_complex, as_real

ON_CPU, ON_GPU = 2**18, 2**24  # numbers of a block; on a CPU a block fits the cache


def blocks(rows: Tensor) -> Iterator[slice]:
    """The columns of rows (n, P), a block at a time."""
    n, columns = rows.shape
    size = max(1, (ON_CPU if rows.device.type == "cpu" else ON_GPU) // max(1, n))
    yield from (slice(start, start + size) for start in range(0, max(1, columns), size))


def wide(numbers: Tensor) -> Tensor:
    """As 64-bit numbers, in which the sum of squares of 32-bit numbers cannot overflow; 32 bits on Apple's GPUs."""
    return numbers.to(torch.float32 if numbers.device.type == "mps" else torch.float64)


def real_rows(value: Tensor) -> Tensor:
    """(n, P) real numbers of a value (n, ...)."""
    return as_real(value).reshape(len(value), -1)


def by_column(value: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """
    Args:
        value: (n, ...), of any type.
        f: makes one number of each column, (n, b) -> (b,), in any floating type.

    Returns:
        (...) of the value's type, or of torch's default type for integers. A number that rounding carries past the
        largest of its type is the largest.
    """
    return by_columns(value, lambda block: f(block)[None])[0]


def by_columns(value: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """As `by_column`, where `f` makes m numbers of each column, (n, b) -> (m, b); the result is (m, ...)."""
    rows = real_rows(value)
    dtype = rows.dtype if rows.dtype.is_floating_point else torch.get_default_dtype()
    limit = torch.finfo(dtype).max
    reduced = torch.cat([f(rows[:, block]).clamp(-limit, limit).to(dtype) for block in blocks(rows)], 1)
    reduced = reduced.reshape(len(reduced), *as_real(value).shape[1:])
    return as_complex(reduced) if value.is_complex() else reduced


def weighted_sum(value: Tensor, factors: Tensor) -> Tensor:
    """sum_i factors_i x_i of a value (n, ...), in 64 bits.

    >>> weighted_sum(torch.tensor([[1.0], [3.0], [1e38]]), torch.tensor([0.5, 0.5, 0.0]))
    tensor([2.])

    Args:
        factors: (n,) on the CPU. Messages with factor 0 are not read.
    """
    rows = factors.nonzero()[:, 0]
    used = wide(factors[rows].to(value.device, non_blocking=True))
    index = None if len(rows) == len(value) else rows.to(value.device, non_blocking=True)
    return by_column(value, lambda block: used @ wide(block if index is None else block.index_select(0, index)))


def mixed(value: Tensor, matrix: Tensor) -> Tensor:
    """(m, ...) weighted sums of a value (n, ...), one for each row of a matrix (m, n) on the CPU."""
    factors = wide(matrix.to(value.device, non_blocking=True))
    return by_columns(value, lambda block: factors @ wide(block))
