"""The weighted mean."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduction, message_weights
from fedlit.messages.wire import Wire, unflatten_message


class Mean(Reduction):
    """The weighted mean of each key, sum_k w_k m_k / sum_k w_k. w_k is n_k, or 1 under weighting "uniform".

    It streams: whatever the size of the cohort, it needs the memory of one message. Numbers of 16 or 8 bits are added
    in 32 bits, because their sum can overflow where the mean does not.
    """

    zero_without_clients: ClassVar[bool] = True

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
            weight = message_weights(self.weighting, key, examples)
            self._dtypes[key] = value.dtype
            value = value.to(_wide(value.dtype))
            chunk_total = torch.tensordot(weight[:, 0].to(value.dtype), value, 1)
            self._total[key] = self._total[key] + chunk_total if key in self._total else chunk_total
            self._weight[key] = self._weight[key] + weight.sum() if key in self._weight else weight.sum()

    def finish(self) -> dict[str, Any]:
        means = {key: total / self._weight[key].to(total.dtype) for key, total in self._total.items()}
        return unflatten_message({key: self._as_sent(key, mean) for key, mean in means.items()})

    def _as_sent(self, key: str, mean: Tensor) -> Tensor:
        dtype = self._dtypes[key]
        return mean if _wide(dtype) == dtype else mean.to(dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type in which numbers of this type are added."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype
