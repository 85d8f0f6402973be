"""No reduction: the server gets every message."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduction
from fedlit.messages.wire import Wire, unflatten_message


class All(Reduction):
    """key -> the messages of all K clients that arrived, (K, ...) in cohort order, and "examples" -> (K, 1).

    It needs the memory of all messages of a round.
    """

    def begin(self) -> None:
        self._wires: list[Wire] = []
        self._examples: list[Tensor] = []

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        self._wires.append(wire)
        self._examples.append(examples)

    def finish(self) -> dict[str, Any]:
        if not self._wires:
            return {}
        messages = {key: _joined([wire[key] for wire in self._wires]) for key in self._wires[0]}
        return unflatten_message(messages) | {"examples": torch.cat(self._examples)}


def _joined(values: list[Any]) -> Any:
    return [row for rows in values for row in rows] if isinstance(values[0], list) else torch.cat(values)
