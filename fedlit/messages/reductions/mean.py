"""The weighted mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduction, message_weights
from fedlit.messages.wire import Wire, unflatten_message


class Mean(Reduction):
    """Weighted mean of messages, streaming: a cohort of any size costs one vector a key."""

    def begin(self) -> None:
        self.total: dict[str, Tensor] = {}
        self.weight: dict[str, Tensor] = {}

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        for key, value in wire.items():
            weight = message_weights(self.weighting, key, examples)
            part = torch.tensordot(weight[:, 0].to(value.dtype), value, 1)
            self.total[key] = self.total[key] + part if key in self.total else part
            self.weight[key] = self.weight[key] + weight.sum() if key in self.weight else weight.sum()

    def finish(self) -> dict[str, Any]:
        return unflatten_message({key: total / self.weight[key].to(total.dtype) for key, total in self.total.items()})
