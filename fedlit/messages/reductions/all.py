"""No reduction: the server sees every message."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduction
from fedlit.messages.wire import Wire, unflatten_message


class All(Reduction):
    """Every message, (K, ...) a key in cohort order, and `examples` (K, 1). Costs the cohort's memory."""

    def begin(self) -> None:
        self.wires: list[Wire] = []
        self.examples: list[Tensor] = []
        self.clients: list[int] = []

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        self.wires.append(wire)
        self.examples.append(examples)
        self.clients.extend(clients)

    def finish(self) -> dict[str, Any]:
        if not self.wires:
            return {}
        together = {key: torch.cat([w[key] for w in self.wires]) for key in self.wires[0]}
        return unflatten_message(together) | {"examples": torch.cat(self.examples)}
