"""No reduction: the server gets every message."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.wire import Wire, unflatten_message


class All(Reduction):
    """key -> the messages of all K clients that arrived, (K, ...) in cohort order, and "examples" -> (K, 1).

    It needs the memory of all messages of a round.
    """

    single: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """A subclass that changes, drops or reduces messages hands none over, unless it says so itself."""
        super().__init_subclass__()
        if "hands_over" not in vars(cls) and {"encode", "add", "finish"} & vars(cls).keys():
            cls.hands_over = False

    def begin(self) -> None:
        self._wires: list[Wire] = []
        self._examples: list[Tensor] = []

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        self._wires.append(wire)
        self._examples.append(examples)

    def finish(self) -> Reduced:
        if not self._wires:
            return Reduced({})
        messages = {key: _joined([wire[key] for wire in self._wires]) for key in self._wires[0]}
        return Reduced(unflatten_message(messages) | {"examples": torch.cat(self._examples)})


def _joined(values: list[Any]) -> Any:
    return [row for rows in values for row in rows] if isinstance(values[0], list) else torch.cat(values)
