"""How a round's messages become one."""

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
    """What is configured holds hyperparameters; `start` gives a copy that collects one round, in cohort order."""

    blind: ClassVar[bool] = False
    """The server sees sums alone: the algorithm's `unpack` happens on the clients, and no upload may need decoding."""

    weighting: dict[str, str]
    round: ServerRound

    def encode(self, client: Client, wire: Wire, weighting: dict[str, str]) -> Wire:
        """Its half on the clients, last before sending."""
        return wire

    def start(self: Self, weighting: dict[str, str], round: ServerRound) -> Self:
        """A copy that collects this round's messages."""
        new = copy.copy(self)
        new.weighting, new.round = weighting, round
        new.begin()
        return new

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        """A chunk of messages (K, ...), with the clients' numbers of training samples (K, 1)."""

    @abstractmethod
    def finish(self) -> dict[str, Any]:
        """The reduced message; empty where there was nothing: then the server keeps its state."""


def message_weights(weighting: dict[str, str], key: str, examples: Tensor) -> Tensor:
    """What a message under `key` counts in a mean, (K, 1)."""
    by = weighting.get(key.split(".")[0], "examples")
    return examples if by == "examples" else torch.ones_like(examples)
