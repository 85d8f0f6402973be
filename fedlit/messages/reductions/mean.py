"""The weighted mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduction, message_weights
from fedlit.messages.wire import Wire, unflatten_message


class Mean(Reduction):
    """The weighted mean of each key, sum_k w_k m_k / sum_k w_k. w_k is n_k, or 1 under weighting "uniform".

    It streams: whatever the size of the cohort, it needs the memory of one message.
    """

    def begin(self) -> None:
        self._total: dict[str, Tensor] = {}
        self._weight: dict[str, Tensor] = {}

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        for key, value in wire.items():
            weight = message_weights(self.weighting, key, examples)
            chunk_total = torch.tensordot(weight[:, 0].to(value.dtype), value, 1)
            self._total[key] = self._total[key] + chunk_total if key in self._total else chunk_total
            self._weight[key] = self._weight[key] + weight.sum() if key in self._weight else weight.sum()

    def finish(self) -> dict[str, Any]:
        return unflatten_message({key: total / self._weight[key].to(total.dtype) for key, total in self._total.items()})
