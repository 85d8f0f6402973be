"""How the messages of a round become one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from fedlit.client import Client
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound

Self = TypeVar("Self", bound="Reduction")


class Reduction(ABC):
    """Holds hyperparameters; `start` makes a copy that collects the messages of one round, in cohort order."""

    blind: ClassVar[bool] = False
    """The server sees sums only: the algorithm's `unpack` runs on the clients, and no stage may need decoding."""

    weighting: dict[str, str]
    round: ServerRound

    def encode(self, client: Client, wire: Wire, weighting: dict[str, str]) -> Wire:
        """The client half, the last step before sending."""
        return wire

    def start(self: Self, weighting: dict[str, str], round: ServerRound) -> Self:
        """A copy that collects the messages of this round."""
        collector = copy.copy(self)
        collector.weighting, collector.round = weighting, round
        collector.begin()
        return collector

    @abstractmethod
    def begin(self) -> None:
        """Start with no messages."""

    @abstractmethod
    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        """A chunk of messages (K, ...), with the clients' numbers of training samples (K, 1)."""

    @abstractmethod
    def finish(self) -> dict[str, Any]:
        """The reduced message; empty where no message was added, and the server then keeps its state."""


def message_weights(weighting: dict[str, str], key: str, examples: Tensor) -> Tensor:
    """The weights of the clients' messages under `key` in a mean, (K, 1)."""
    weighted_by = weighting.get(key.split(".")[0], "examples")
    return examples if weighted_by == "examples" else torch.ones_like(examples)
