"""The weighted mean."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.weights import is_weight, is_weighted_by_message, message_weights
from fedlit.messages.wire import Wire, unflatten_message


class Mean(Reduction):
    """The weighted mean of each key, sum_k w_k m_k / sum_k w_k, and 0 where no weight came.

    w_k is n_k, 1 under weighting "uniform", or a weight that the message carries: under weighting {"delta": "w"} the
    number of client k under "w", or one for each element of delta. Of "w" itself the sum over the clients is given.

    It streams: whatever the size of the cohort, it needs the memory of one message. Numbers of 16 or 8 bits are added
    in 32 bits, because their sum can overflow where the mean does not.
    """

    zero_without_clients: ClassVar[bool] = True
    weighs_by_messages: ClassVar[bool] = True

    def begin(self) -> None:
        self._total: dict[str, Tensor] = {}
        self._weight: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        for key, value in wire.items():
            if isinstance(value, list):
                raise InputError(
                    f"{key} of the messages is a list of rows of unequal lengths, which have no mean; let decode of "
                    "its stage, or unpack, make it a tensor (K, ...)"
                )
            dtype = _wide(value.dtype)
            if is_weight(self.weighting, key):
                _add_to(self._total, key, value.to(dtype).sum(0))
                continue
            weight = message_weights(self.weighting, key, wire, examples)
            weight = weight.to(_wide(weight.dtype))
            if is_weighted_by_message(self.weighting, key):
                dtype = torch.promote_types(dtype, weight.dtype)  # a tiny weight is not rounded to 0
            self._dtypes[key] = value.dtype
            _add_to(self._total, key, _weighted_sum(weight.to(dtype), value.to(dtype)))
            _add_to(self._weight, key, weight.sum() if weight.numel() == len(weight) else weight.sum(0))

    def finish(self) -> Reduced:
        return Reduced(unflatten_message({key: self._reduced(key, total) for key, total in self._total.items()}))

    def _reduced(self, key: str, total: Tensor) -> Tensor:
        if key not in self._weight:
            return total
        weight, dtype = self._weight[key].to(total.dtype), self._dtypes[key]
        mean = total / weight.where(weight != 0, 1)
        return mean if mean.dtype == dtype or not dtype.is_floating_point else mean.to(dtype)


def _add_to(sums: dict[str, Tensor], key: str, chunk_sum: Tensor) -> None:
    sums[key] = sums[key] + chunk_sum if key in sums else chunk_sum


def _weighted_sum(weight: Tensor, value: Tensor) -> Tensor:
    """The sum over K clients, of weights that broadcast to the value (K, ...)."""
    if weight.numel() == len(weight):
        return torch.tensordot(weight.reshape(-1), value, 1)
    return (weight * value).sum(0)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type in which numbers of this type are added."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype
