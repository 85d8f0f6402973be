"""Sums of what an algorithm computes of each batch of its clients (`fedlit.client.Client.collect`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.errors import InputError

_WIDE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}


class CollectedSums:
    """Accumulates in place; half precision in 32 bits, in which a count of samples does not stop at 256.

    Args:
        k: number of clients.
    """

    def __init__(self, k: int):
        self.k = k
        self._sums: dict[str, Tensor] = {}
        self._types: dict[str, torch.dtype] = {}

    def add(self, rows: slice | Tensor, returned: Any, n: int) -> None:
        """
        Args:
            rows: of the n clients whose batch it was.
            returned: by the algorithm's function.

        Raises:
            InputError: it is not a dict of tensors (n, ...), or has other keys or shapes than before.
        """
        self._check(returned, n)
        for name, value in returned.items():
            if name not in self._sums:
                self._types[name] = value.dtype
                dtype = _WIDE.get(value.dtype, value.dtype)
                self._sums[name] = value.new_zeros(self.k, *value.shape[1:], dtype=dtype)
            self._sums[name][rows] += value.detach()

    def totals(self) -> dict[str, Tensor]:
        """(K, ...) by name, zeros in the rows of clients without a batch; empty where no client had one."""
        return {name: total.to(self._types[name]) for name, total in self._sums.items()}

    def _check(self, returned: Any, n: int) -> None:
        check_returned("client.collect: its function", returned, n)
        if self._sums and returned.keys() != self._sums.keys():
            raise InputError(
                f"client.collect: its function returns {', '.join(returned)} of one batch and {', '.join(self._sums)} "
                "of another; return the same keys of each batch."
            )
        for name, total in self._sums.items():
            if returned[name].shape[1:] != total.shape[1:]:
                raise InputError(
                    f"client.collect: its function returns {_described(returned[name])} for {name!r}, and the shape "
                    f"{(n, *total.shape[1:])} of a batch before; return one shape, because it is summed over the "
                    "batches."
                )


def check_returned(function: str, returned: Any, n: int) -> None:
    """
    Args:
        function: the subject of the sentence.
        returned: by the function, of a batch of n clients.

    Raises:
        InputError: it is not a dict of tensors (n, ...) of numbers.
    """
    if not isinstance(returned, dict) or not returned:
        raise InputError(
            f"{function} returns {_described(returned)}; return a dict of tensors (K, ...), such as "
            '{"examples": step.examples}.'
        )
    for name, value in returned.items():
        if not isinstance(value, Tensor) or value.dtype == torch.bool or not value.dim() or len(value) != n:
            raise InputError(
                f"{function} returns {_described(value)} for {name!r}; return a tensor of numbers (K, ...), here of "
                f"{n} client{'s' * (n > 1)}, because it is summed over the batches."
            )


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, dict):
        return "an empty dict" if not value else "a dict"
    return "None" if value is None else f"a {type(value).__name__}"
